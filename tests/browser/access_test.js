// Who gets in, and what a session that may only read can do.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";

import {
  checkPage,
  close,
  closeBrowser,
  open,
  SCREENS,
} from "./support/browser.js";
import { Project, stopAll } from "./support/project.js";
import { shop } from "./support/seed.js";

let project, link, readOnly;

before(async () => {
  project = await Project.create();
  await shop(project);
  [link, readOnly] = await Promise.all([
    project.serve(),
    project.serve(["--read-only"]),
  ]);
});

after(async () => {
  await closeBrowser();
  await stopAll();
});

const isPaused = () =>
  project.value(
    "select is_paused from supaqueue.queue where name = 'emails'",
  );

test("without the token there is nothing but a refusal", async () => {
  const page = await open(new URL("/", link), { expects: /401/ });
  assert.match(await page.locator("main").innerText(), /token/);
  assert.equal(await page.locator("nav").count(), 0);
  await checkPage(page);
  await close(page);
});

test("a page of another site can neither act nor read", async () => {
  const page = await open(link);
  const other = createServer((_, response) => {
    response.setHeader("content-type", "text/html").end(`<!doctype html>
      <title>Other</title><form method="post" action="${link.origin}/actions/pause-queue">
      <input name="queue" value="emails"><button>Go</button></form>`);
  });
  await new Promise((resolve) => other.listen(0, "127.0.0.1", resolve));
  const origin = `http://127.0.0.1:${other.address().port}`;
  page.allowed = /.*/; // the browser complains about all of this
  await page.goto(origin);
  await page.getByRole("button").click();
  await page.getByText("Refused").waitFor();
  assert.equal(await isPaused(), false);

  await page.goto(origin);
  const answer = await page.evaluate(
    (url) =>
      fetch(url, { credentials: "include" }).then(
        () => "read",
        () => "refused",
      ),
    link.origin,
  );
  assert.equal(answer, "refused");
  const isFramed = await page.evaluate((url) => {
    const frame = document.createElement("iframe");
    frame.src = url;
    document.body.append(frame);
    return new Promise((resolve) => {
      frame.onload = () => {
        try {
          resolve(frame.contentDocument !== null);
        } catch {
          resolve(false);
        }
      };
    });
  }, link.origin);
  assert.equal(isFramed, false);
  other.close();
  await page.context().close();
});

test("a read-only session has no buttons that act, and refuses those of others", async () => {
  const page = await open(readOnly);
  const job = await project.value(
    "select id from supaqueue.job where status = 'failed' limit 1",
  );
  for (
    const path of [
      ...Object.values(SCREENS),
      `/jobs/${job}`,
      "/jobs?status=failed",
      "/queues/emails",
      "/queues/emails/settings",
      "/schedules/nightly-report",
    ]
  ) {
    await page.goto(path);
    assert.equal(
      await page.locator('[action^="/actions/"] button').count(),
      0,
      `${path} has a button`,
    );
    await checkPage(page);
  }

  page.allowed = /403/;
  const confirm = await page.goto("/actions/pause-queue/confirm?queue=emails");
  assert.equal(confirm.status(), 403);
  const status = await page.evaluate(() =>
    fetch("/actions/pause-queue", {
      method: "POST",
      body: new URLSearchParams({ queue: "emails" }),
    }).then((response) => response.status)
  );
  assert.equal(status, 403);
  assert.equal(await isPaused(), false);
  await close(page);
});

test("the keys do not act in a read-only session", async () => {
  const page = await open(readOnly);
  await page.goto("/jobs?status=failed");
  await page.keyboard.press("j");
  await page.keyboard.press("x");
  await page.keyboard.press("r");
  await page.keyboard.press("c");
  assert.match(page.url(), /\/jobs\?status=failed/);
  await close(page);
});

test("a team logs in with the password", async () => {
  const password = "correct horse battery";
  const team = await project.serve(["--listen", "127.0.0.1:0"], project.url, {
    SUPAQUEUE_DASHBOARD_PASSWORD: password,
  });
  const page = await open(team);
  assert.match(page.url(), /\/login$/);
  await checkPage(page);
  page.allowed = /403/;
  await page.getByLabel("Password").fill("wrong");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").waitFor();
  assert.match(page.url(), /\/login$/);
  await page.getByLabel("Password").fill(password);
  await page.keyboard.press("Enter");
  await page.getByRole("navigation").waitFor();
  await checkPage(page);
  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByLabel("Password").waitFor();
  await page.goto("/jobs");
  assert.match(page.url(), /\/login$/);
  await close(page);
});
