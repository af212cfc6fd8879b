// What strangers wrote into names, keys, payloads, messages and results is shown, and does nothing.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import {
  checkPage,
  close,
  closeBrowser,
  open,
  SCREENS,
} from "./support/browser.js";
import { Project, stopAll } from "./support/project.js";
import { end } from "./support/seed.js";

const HTML =
  `"'></pre></title><script>alert(1)</script><img src=x onerror=alert(2)><svg onload=alert(3)>&lt;`;
const URL_NAME = `a/b?c=d&e#f%2e%2f../${HTML}`;
const RTL = "\u202egnp.exe\u202c שלום سلام";
const CONTROL = "bell\u0007 escape\u001b[31m line\r\ntab\t\u200bzero\u2028";
const LONG = "x".repeat(900);
const MB = 5_000_000 - 100;

let project, link, failed, big, keyed;

before(async () => {
  project = await Project.create();
  await project.addDependencies();
  for (const name of [URL_NAME, RTL, CONTROL, LONG, "..", "%00"]) {
    await project.sql.unsafe(
      "insert into supaqueue.queue (name, edge_function_name, max_attempts) values ($1, 'hello', 1)",
      [name],
    );
    await project.sql.unsafe("select supaqueue.set_workers($1, 1)", [name]);
  }
  for (const name of [HTML, RTL, CONTROL, "a/b?c#d"]) {
    await project.sql.unsafe(
      "select supaqueue.schedule($1, $2, '0 3 * * *', payload => $3, tenant => $2)",
      [name, URL_NAME, { text: HTML }],
    );
  }
  for (const text of [HTML, RTL, CONTROL, LONG]) {
    failed = await end(
      project,
      URL_NAME,
      { [text]: text },
      { http_status: 500, error: { message: text, body: text } },
      { key: text, tenant: text },
    );
    await end(project, URL_NAME, text, { http_status: 200, result: text });
  }
  keyed = failed;
  big = await end(project, URL_NAME, { text: "<b>".repeat(MB / 3) }, {
    http_status: 500,
    error: { message: HTML.repeat(50), body: "<".repeat(10_000) },
  });
  await project.sql.unsafe("select supaqueue.enqueue_pipeline($1::jsonb)", [[
    { name: HTML, queue: URL_NAME, payload: { text: HTML } },
    { name: RTL, queue: LONG, depends_on: [HTML] },
  ]]);
  await project.run(
    `insert into supaqueue.operation (action, filter) values ('retry', '{"key": "\\"><script>alert(4)</script>"}')`,
  );
  await project.tick();
  link = await project.serve();
});

after(async () => {
  await closeBrowser();
  await stopAll();
});

/** Asserts that nothing became an element. */
async function checkInert(page) {
  const found = await page.evaluate(() =>
    document.querySelectorAll(
      "img, svg[onload], [onerror], script:not([src]), iframe",
    ).length
  );
  assert.equal(found, 0, `${page.url()} has elements of strangers`);
}

for (const width of [1280, 380]) {
  test(`every screen shows it at ${width} px`, async () => {
    const page = await open(link, { width });
    const queue = (name) => `/queues/${encodeURIComponent(name)}`;
    const schedule = (name) => `/schedules/${encodeURIComponent(name)}`;
    const paths = [
      ...Object.values(SCREENS),
      `/jobs/${keyed}`,
      `/jobs/${big}`,
      queue(URL_NAME),
      queue(RTL),
      queue(CONTROL),
      queue(LONG),
      queue("%00"),
      `${queue(URL_NAME)}/settings`,
      schedule(HTML),
      schedule("a/b?c#d"),
      `/jobs?queue=${encodeURIComponent(URL_NAME)}`,
    ];
    for (const path of paths) {
      const response = await page.goto(path);
      assert.equal(response.status(), 200, path);
      await checkInert(page);
      await checkPage(page);
    }
    await close(page);
  });
}

test("links to names of every kind lead to their pages", async () => {
  const page = await open(link);
  await page.goto("/");
  const links = await page.locator('main a[href^="/queues/"]').evaluateAll((
    links,
  ) => [...new Set(links.map((link) => link.getAttribute("href")))]);
  assert.equal(links.length, 6);
  for (const href of links) {
    const response = await page.goto(href);
    assert.equal(response.status(), 200, href);
    assert.match(page.url(), /\/queues\//, `${href} leads to its queue`);
  }
  await close(page);
});

test("what could mislead the reader is shown by name", async () => {
  const page = await open(link);
  await page.goto(`/queues/${encodeURIComponent(RTL)}`);
  assert.match(await page.locator("h1").innerText(), /U\+202E/);
  await page.goto(`/queues/${encodeURIComponent(CONTROL)}`);
  assert.match(await page.locator("h1").innerText(), /bellU\+0007/);
  await close(page);
});

test("a payload of 5 MB is cut, and its page stays small", async () => {
  const page = await open(link);
  const response = await page.goto(`/jobs/${big}`);
  const size = (await response.body()).length;
  assert.ok(size < 1_500_000, `the page has ${size} bytes`);
  const text = await page.locator("main").innerText();
  assert.match(text, /5,000,0|4,999,9|5\.0 MB|4\.8 MB/);
  await close(page);
});

test("hostile words in the address do nothing", async () => {
  const page = await open(link);
  page.allowed = /40[04]|422/;
  for (
    const path of [
      `/jobs?q=${encodeURIComponent(HTML)}`,
      `/jobs?status=${encodeURIComponent(HTML)}`,
      `/jobs?cursor=${encodeURIComponent(HTML)}`,
      `/jobs/${encodeURIComponent(HTML)}`,
      `/queues/${encodeURIComponent(`no ${HTML}`)}`,
      `/failures?queue=${encodeURIComponent(HTML)}`,
      `/operations/${encodeURIComponent(HTML)}`,
      `/${encodeURIComponent(HTML)}`,
      `/?notice=${encodeURIComponent(HTML)}`,
      `/actions/retry-jobs/confirm?filter=${encodeURIComponent(HTML)}`,
      `/actions/pause-queue/confirm?queue=${encodeURIComponent(HTML)}`,
    ]
  ) {
    const response = await page.goto(path);
    assert.ok(response.status() < 500, `${path}: ${response.status()}`);
    await checkInert(page);
    await checkPage(page);
  }
  await close(page);
});

test("an action on a hostile name acts on that name only", async () => {
  const page = await open(link);
  await page.goto(`/queues/${encodeURIComponent(URL_NAME)}`);
  await page.locator('form[action="/actions/pause-queue/confirm"] button')
    .click();
  await checkInert(page);
  await page.locator('main form[method="post"] button').click();
  await page.locator("#notice").waitFor();
  assert.deepEqual(
    await project.value(
      "select array_agg(name) from supaqueue.queue where is_paused",
    ),
    [URL_NAME],
  );
  await close(page);
});
