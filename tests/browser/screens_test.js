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
import { broken, shop } from "./support/seed.js";

const { SUPAQUEUE_SCREENS } = process.env;

const LIGHT = { width: 1280, colorScheme: "light" };
const DARK = { width: 1280, colorScheme: "dark" };
const NARROW = { width: 380, colorScheme: "light" };

const KINDS = {
  empty: { seed: () => {}, looks: [DARK, NARROW] },
  full: { seed: shop, looks: [LIGHT, DARK, NARROW] },
  broken: { seed: broken, looks: [LIGHT] },
};

after(async () => {
  await closeBrowser();
  await stopAll();
});

for (const [kind, { seed, looks }] of Object.entries(KINDS)) {
  describe(`a project that is ${kind}`, () => {
    let project, link, paths;

    before(async () => {
      project = await Project.create();
      await seed(project);
      link = await project.serve();
      paths = Object.values(SCREENS);
      if (kind === "empty") return;
      const operation = await project.value(
        `insert into supaqueue.operation (action, filter, changes)
         values ('change', '{"queue": "emails", "status": "pending"}', '{"priority": -1}') returning id`,
      );
      const job = async (where) =>
        `/jobs/${await project.value(
          `select id from supaqueue.job where ${where} order by id limit 1`,
        )}`;
      paths.push(
        `/operations/${operation}`,
        await job("status = 'failed'"),
        await job("status = 'in_progress'"),
        await job("status = 'waiting'"),
        await job("status = 'successful'"),
        "/jobs?status=failed",
        "/queues/emails",
        "/queues/emails/settings",
        "/schedules/nightly-report",
        (await job("payload @> '{\"document\": 7}'")).replace(
          "jobs",
          "pipelines",
        ),
      );
    });

    for (const look of looks) {
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

    if (kind === "full") return;
    test("the Overview says first what is wrong, and what to do", async () => {
      // "It last ran 5 s ago" is longer ago on the page.
      const problems = await project.sql`
        select regexp_replace(problem, '; it last ran .*', '') as problem, remedy
        from supaqueue.problem`;
      const page = await open(link);
      const main = await page.locator("main").innerText();
      const text = main.replaceAll(/\s+/g, " ");
      if (kind === "empty") assert.match(text, /No problems/);
      else {
        const all = problems.map((row) => row.problem).join();
        assert.match(all, /supaqueue_url.*tick.*no workers/);
      }
      for (const { problem, remedy } of problems) {
        for (const words of [problem, remedy]) {
          const place = text.indexOf(words);
          assert.ok(place > 0, `the Overview does not say: ${words}`);
          assert.ok(place < text.indexOf("Pending"), `${words} comes too late`);
        }
      }
      await close(page);
    });
  });
}
