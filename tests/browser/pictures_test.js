// The pictures in the docs can be made: with SUPAQUEUE_PICTURES=1, this replaces them.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { after, before, test } from "node:test";

import { close, closeBrowser, open } from "./support/browser.js";
import { Project, repository, stopAll } from "./support/project.js";
import { history, shop } from "./support/seed.js";

const images = join(repository, "docs/images");

let project, link;

before(async () => {
  project = await Project.create("shop");
  await shop(project);
  await history(project);
  link = await project.serve();
});

after(async () => {
  await closeBrowser();
  await stopAll();
});

const PICTURES = {
  overview: {
    look: { width: 1100, height: 1000 },
    path: () => "/?period=24h",
  },
  job: {
    look: { width: 1100 },
    path: async () =>
      `/jobs/${await project.value(
        "select id from supaqueue.job where status = 'failed' and queue = supaqueue.queue_id('emails') limit 1",
      )}`,
  },
  failures: { look: { width: 1100 }, path: () => "/failures" },
  narrow: {
    look: { width: 380, colorScheme: "dark" },
    path: () => "/queues/emails",
  },
};

for (const [name, { look, path }] of Object.entries(PICTURES)) {
  test(`the picture ${name}`, async () => {
    const page = await open(link, { height: 760, ...look });
    await page.goto(await path());
    const file = `dashboard-${name}.png`;
    const picture = await page.screenshot();
    assert.ok(picture.length < 150_000, `${file} has ${picture.length} bytes`);
    if (process.env.SUPAQUEUE_PICTURES) {
      mkdirSync(images, { recursive: true });
      writeFileSync(join(images, file), picture);
    }
    const docs = readFileSync(join(repository, "docs/operations.md"), "utf8");
    assert.ok(docs.includes(`(images/${file})`), `the docs show no ${file}`);
    // As large as the one that the docs show: it was made with the same look.
    const shown = readFileSync(join(images, file));
    assert.deepEqual(size(shown), size(picture), `${file} is of another look`);
    await close(page);
  });
}

/** Width and height, from the header of a PNG. */
function size(png) {
  return [png.readUInt32BE(16), png.readUInt32BE(20)];
}
