// Every screen: light, dark, narrow; of a project with nothing, and of one with everything.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import {
  checkPage,
  close,
  closeBrowser,
  open,
  SCREENS,
} from "./support/browser.js";
import { Project, stopAll } from "./support/project.js";
import { shop } from "./support/seed.js";

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
        for (const path of paths) {
          const response = await page.goto(path);
          assert.equal(response.status(), 200, path);
          await checkPage(page);
        }
        await close(page);
      });
    }
  });
}
