// Takes a screenshot of a page.
// usage: node tests/browser/screenshot.js URL FILE.png [WIDTH [light|dark]]

import process from "node:process";

import { launch } from "./chromium.js";

const [url, path, width = "1280", colorScheme = "light"] = process.argv.slice(
  2,
);
const browser = await launch();
try {
  const page = await browser.newPage({
    colorScheme,
    viewport: { width: Number(width), height: 800 },
  });
  page.on("console", (message) => console.error(`console: ${message.text()}`));
  page.on("pageerror", (error) => console.error(`error: ${error.message}`));
  await page.goto(url);
  await page.screenshot({ path, fullPage: true });
} finally {
  await browser.close();
}
