// Pages of the browser, which watch for what must never happen.

import assert from "node:assert/strict";

import axe from "axe-core";

import { launch } from "../chromium.js";

export const SCREENS = {
  Overview: "/",
  Jobs: "/jobs",
  Failures: "/failures",
  Schedules: "/schedules",
  Pipelines: "/pipelines",
  Operations: "/operations",
};

let browser;

/** A page that has opened a dashboard. `link` is the address that the program has printed. */
export async function open(
  link,
  { width = 1280, height = 800, colorScheme = "light", expects } = {},
) {
  browser ??= await launch();
  const context = await browser.newContext({
    baseURL: link.origin,
    colorScheme,
    viewport: { width, height },
  });
  context.setDefaultTimeout(30_000);
  const page = await context.newPage();
  page.wrong = [];
  /** What the console may say. */
  page.allowed = expects;
  page.on("dialog", (dialog) => {
    page.wrong.push(`a script ran: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("pageerror", (error) => page.wrong.push(`error: ${error.message}`));
  // Among them, what the content security policy has refused.
  page.on("console", (message) => {
    if (page.allowed?.test(message.text())) return;
    page.wrong.push(`${message.type()} in the console: ${message.text()}`);
  });
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.origin !== link.origin && url.protocol !== "data:") {
      page.wrong.push(`a request to ${url.href}`);
    }
  });
  await page.goto(link.href);
  assert.ok(!page.url().includes("token"), "the token stays in the address");
  return page;
}

/** Closes a page after a test, which fails if something went wrong on it. */
export async function close(page) {
  await page.context().close();
  assert.deepEqual(page.wrong, []);
}

export async function closeBrowser() {
  await browser?.close();
}

/** Asserts that a page is whole: it has a title, fits the width, and everyone can use it. */
export async function checkPage(page) {
  assert.deepEqual(await findings(page), []);
}

/** What is wrong with a page. */
export async function findings(page) {
  const { width } = page.viewportSize();
  const headings = await page.locator("h1").count();
  const { wide, window } = await page.evaluate(() => ({
    wide: document.documentElement.scrollWidth,
    window: document.documentElement.clientWidth,
  }));
  const found = await violations(page);
  if (headings !== 1) found.push(`it has ${headings} h1`);
  if (wide > window) found.push(`it scrolls sideways: it is ${wide} px wide`);
  const path = page.url().replace(/^http:..[^/]+/, "");
  return found.map((finding) => `${path} at ${width} px: ${finding}`);
}

/** What axe-core finds, shortened. */
async function violations(page) {
  // Not a script element, which the page's policy would refuse.
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() =>
    globalThis.axe.run(document, {
      resultTypes: ["violations"],
      runOnly: [
        "wcag2a",
        "wcag2aa",
        "wcag21a",
        "wcag21aa",
        "wcag22aa",
        "best-practice",
      ],
    })
  );
  return violations.map(({ id, nodes }) =>
    `${id}: ${
      nodes.slice(0, 3).map(({ html, failureSummary }) =>
        `${html.slice(0, 200)} ${failureSummary.replaceAll(/\s+/g, " ")}`
      ).join(" | ")
    }`
  );
}
