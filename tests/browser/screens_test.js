// Every screen: light, dark, narrow; of a project with nothing, and of one with everything. To look at them, set
// SUPAQUEUE_SCREENS to a folder for pictures of all.

import assert from "node:assert/strict";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, test } from "node:test";

import {
  close,
  closeBrowser,
  findings,
  open,
  SCREENS,
} from "./support/browser.js";
import { Project, stopAll } from "./support/project.js";
import { shop } from "./support/seed.js";

const { SUPAQUEUE_SCREENS } = process.env;

const LOOKS = [
  { width: 1280, colorScheme: "light" },
  { width: 1280, colorScheme: "dark" },
  { width: 380, colorScheme: "light" },
  { width: 380, colorScheme: "dark" },
];

after(async () => {
  await closeBrowser();
  await stopAll();
});

for (const [kind, seed] of Object.entries({ empty: () => {}, full: shop })) {
  describe(`a project that is ${kind}`, () => {
    let project, link, paths;

    before(async () => {
      project = await Project.create();
      await seed(project);
      link = await project.serve();
      paths = Object.values(SCREENS);
      if (kind === "full") {
        const failed = await project.value(
          "select id from supaqueue.job where status = 'failed' order by id limit 1",
        );
        const running = await project.value(
          "select id from supaqueue.job where status = 'in_progress' order by id limit 1",
        );
        paths.push(
          `/jobs/${failed}`,
          `/jobs/${running}`,
          "/jobs?status=failed",
          "/queues/emails",
          "/queues/emails/settings",
          "/schedules/nightly-report",
        );
      }
    });

    for (const look of LOOKS) {
      test(`at ${look.width} px, ${look.colorScheme}`, async () => {
        const page = await open(link, look);
        const found = [];
        for (const [index, path] of paths.entries()) {
          const response = await page.goto(path);
          assert.equal(response.status(), 200, path);
          found.push(...await findings(page));
          if (SUPAQUEUE_SCREENS) {
            const name = `${kind}-${look.width}-${look.colorScheme}-${index}`;
            await page.screenshot({
              path: join(SUPAQUEUE_SCREENS, `${name}.png`),
              fullPage: true,
            });
          }
        }
        assert.deepEqual(found, []);
        await close(page);
      });
    }
  });
}
