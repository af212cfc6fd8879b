// Pages that stay open: they refresh, survive a lost connection, and are used with the keyboard alone.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { checkPage, close, closeBrowser, open } from "./support/browser.js";
import { cuttable, Project, stopAll } from "./support/project.js";
import { end, shop } from "./support/seed.js";

let project, link;

before(async () => {
  project = await Project.create();
  await shop(project);
  link = await project.serve();
});

after(async () => {
  await closeBrowser();
  await stopAll();
});

test("a page shows what is new without being reloaded", async () => {
  const page = await open(link);
  await page.goto("/queues/emails");
  await page.evaluate(() => (globalThis.isSamePage = true));
  await project.run(
    "update supaqueue.queue set is_paused = true where name = 'emails'",
  );
  await page.locator("h1", { hasText: "paused" }).waitFor();
  await project.run(
    "update supaqueue.queue set is_paused = false where name = 'emails'",
  );
  await page.locator("h1:not(:has-text('paused'))").waitFor();
  assert.ok(await page.evaluate(() => globalThis.isSamePage));
  await close(page);
});

test("a refresh keeps the selection, the focus and what was typed, also when rows come before", async () => {
  const page = await open(link);
  await page.goto("/jobs?status=failed");
  const boxes = page.locator('main tbody input[name="id"]');
  const id = await boxes.nth(1).inputValue();
  await boxes.nth(1).check();
  const search = page.locator('main input[type="search"]');
  await search.fill("half a wo");
  const newest = await end(project, "webhooks", { order: 2 }, {
    error: { message: "gone" },
  });
  await page.locator(`main tbody input[value="${newest}"]`).waitFor();
  const checked = page.locator('main tbody input[name="id"]:checked');
  assert.equal(await checked.count(), 1);
  assert.equal(await checked.inputValue(), id);
  assert.equal(await search.inputValue(), "half a wo");
  assert.ok(await search.evaluate((input) => input === document.activeElement));
  await close(page);
});

test("a hidden tab asks for nothing, and catches up when it is shown", async () => {
  const page = await open(link);
  await page.clock.install();
  await page.goto("/");
  let requests = 0;
  page.on("request", () => requests++);
  const show = (state) =>
    page.evaluate((state) => {
      Object.defineProperty(document, "visibilityState", {
        configurable: true,
        get: () => state,
      });
      Object.defineProperty(document, "hidden", {
        configurable: true,
        get: () => state === "hidden",
      });
      document.dispatchEvent(new Event("visibilitychange"));
    }, state);
  const refreshed = page.waitForRequest(() => true);
  await page.clock.runFor(10_000);
  await refreshed;
  await show("hidden");
  // One that was under way may still come.
  await page.clock.runFor(10_000);
  requests = 0;
  await page.clock.runFor(600_000);
  assert.equal(requests, 0);
  const caughtUp = page.waitForRequest(() => true);
  await show("visible");
  await page.clock.runFor(10_000);
  await caughtUp;
  await close(page);
});

test("a lost connection is said, and over when the database is back", async () => {
  const way = await cuttable(project.url);
  const link = await project.serve([], way.url);
  const page = await open(link);
  await page.goto("/queues/emails");
  page.allowed = /503/;
  way.cut();
  await page.locator("#connection:not([hidden])").waitFor();
  assert.match(await page.locator("#connection").innerText(), /database/);
  // What was known stays, and is not taken for the present.
  assert.match(await page.locator("h1").innerText(), /emails/);
  await checkPage(page);

  const response = await page.goto("/jobs");
  assert.equal(response.status(), 503);
  assert.match(await page.locator("h1").innerText(), /Cannot reach/);
  await checkPage(page);

  way.mend();
  await page.locator("h1", { hasText: "Jobs" }).waitFor();
  await page.locator("#connection").waitFor({ state: "hidden" });
  page.allowed = undefined;
  await close(page);
});

test("a program that has ended is said, too", async () => {
  const link = await project.serve();
  const page = await open(link);
  await page.goto("/queues/emails");
  page.allowed = /ERR_CONNECTION_REFUSED|Failed to load resource/;
  await link.stop();
  await page.locator("#connection:not([hidden])").waitFor();
  assert.match(await page.locator("h1").innerText(), /emails/);
  await close(page);
});

test("the keys move, select, search and act", async () => {
  const page = await open(link);
  await page.goto("/jobs?status=failed");
  await page.keyboard.press("?");
  await page.getByRole("dialog").waitFor();
  await checkPage(page);
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "hidden" });

  const focused = () =>
    page.evaluate(() => document.activeElement?.getAttribute("href"));
  await page.keyboard.press("j");
  const first = await focused();
  assert.match(first, /^\/jobs\//);
  await page.keyboard.press("j");
  const second = await focused();
  assert.notEqual(second, first);
  await page.keyboard.press("k");
  assert.equal(await focused(), first);

  await page.keyboard.press("x");
  await page.keyboard.press("j");
  await page.keyboard.press("x");
  assert.equal(await page.locator('main input[name="id"]:checked').count(), 2);
  await page.keyboard.press("r");
  await page.waitForURL("**/actions/retry-jobs/confirm?*");
  assert.equal(
    await page.locator("main dl.facts strong").innerText(),
    "2",
  );
  await page.goBack();

  await page.keyboard.press("/");
  const search = page.locator('main input[type="search"]');
  assert.ok(await search.evaluate((input) => input === document.activeElement));
  // In a field the keys are letters.
  await search.fill("");
  await page.keyboard.type("jkxrc?");
  assert.equal(await search.inputValue(), "jkxrc?");

  const job = await project.value(
    "select id from supaqueue.job where status = 'pending' limit 1",
  );
  await page.goto(`/jobs/${job}`);
  await page.keyboard.press("c");
  await page.waitForURL("**/actions/cancel-job/confirm?*");
  await close(page);
});

test("everything can be reached and done with Tab and Enter", async () => {
  const page = await open(link);
  await page.goto("/");
  await page.keyboard.press("Tab");
  assert.equal(
    await page.evaluate(() => document.activeElement.textContent),
    "Skip to content",
  );
  const tabTo = async (text) => {
    for (let presses = 0; presses < 100; presses++) {
      const focused = await page.evaluate(() => {
        const element = document.activeElement;
        const style = getComputedStyle(element);
        return {
          text: element.textContent.trim(),
          hasFocusRing: style.outlineStyle !== "none" ||
            style.boxShadow !== "none",
        };
      });
      if (focused.text === text) {
        assert.ok(focused.hasFocusRing, `${text} shows no focus`);
        return;
      }
      await page.keyboard.press("Tab");
    }
    throw new Error(`Tab does not reach ${text}`);
  };
  await tabTo("emails");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/queues/emails");
  await tabTo("Pause");
  await page.keyboard.press("Enter");
  await page.waitForURL("**/confirm?*");
  // The button that answers gets the focus.
  await page.locator("main button:focus").waitFor();
  await page.keyboard.press("Enter");
  await page.locator("#notice").waitFor();
  assert.equal(
    await project.value(
      "select is_paused from supaqueue.queue where name = 'emails'",
    ),
    true,
  );
  await close(page);
});
