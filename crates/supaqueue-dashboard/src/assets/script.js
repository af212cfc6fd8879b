// Refreshes the page, and lets keys move and act. Everything else works without it.
"use strict";

const root = document.documentElement;
const main = document.getElementById("main");
const connection = document.getElementById("connection");
const help = document.getElementById("help");
const interval = Number(document.body.dataset.refresh);

root.dataset.script = "";

// Refresh: asks for the same address again and takes over what has changed in <main>.

let timer;
let isRefreshing = false;

function refreshIn(ms) {
  clearTimeout(timer);
  if (interval && !document.hidden && !isRefreshing) {
    timer = setTimeout(refresh, ms);
  }
}

async function refresh() {
  isRefreshing = true;
  const began = performance.now();
  say(await takeOver());
  isRefreshing = false;
  refreshIn(Math.max(interval, 10 * (performance.now() - began)));
}

// Returns what is wrong.
async function takeOver() {
  try {
    const response = await fetch(location.href, {
      signal: AbortSignal.timeout(15000),
    });
    if (response.redirected || response.status === 401) {
      return "The session is over. Open the program's link again, or log in.";
    }
    const page = new DOMParser().parseFromString(
      await response.text(),
      "text/html",
    );
    const next = page.getElementById("main");
    const isDown = response.status >= 500;
    // What is shown stays while the database is away; an error page is followed by whatever comes.
    if (next && !isSelecting() && (!isDown || main.dataset.status >= 500)) {
      document.title = page.title;
      morph(main, next);
      count();
    }
    return isDown ? "Cannot reach the database. Trying again…" : "";
  } catch {
    return "Connection lost. Trying again…";
  }
}

function say(text) {
  if (connection.textContent === text) return;
  connection.textContent = text;
  connection.hidden = text === "";
}

// A selection of text would end if its element changed.
function isSelecting() {
  const selection = getSelection();
  return selection !== null && !selection.isCollapsed &&
    main.contains(selection.anchorNode);
}

// Makes an element like another. What the user did to it stays: focus, input, checks, open details, scrolling.
function morph(old, next) {
  for (const { name } of [...old.attributes]) {
    if (!next.hasAttribute(name) && !isUsers(old, name)) {
      old.removeAttribute(name);
    }
  }
  for (const { name, value } of next.attributes) {
    if (old.getAttribute(name) !== value && !isUsers(old, name)) {
      old.setAttribute(name, value);
    }
  }
  if (old.nodeName === "TEXTAREA" || old.nodeName === "SELECT") return;
  const ids = new Set([...next.children].map(idOf));
  let place = old.firstChild;
  for (const child of [...next.childNodes]) {
    const same = counterpart(place, child);
    if (!same) {
      old.insertBefore(document.importNode(child, true), place);
      continue;
    }
    while (place !== same && !(idOf(place) && ids.has(idOf(place)))) {
      const gone = place;
      place = place.nextSibling;
      gone.remove();
    }
    if (place === same) place = same.nextSibling;
    else old.insertBefore(same, place);
    if (same.nodeType === Node.ELEMENT_NODE) morph(same, child);
    else if (same.data !== child.data) same.data = child.data;
  }
  while (place) {
    const gone = place;
    place = place.nextSibling;
    gone.remove();
  }
}

// The child from `place` on that stands for another one: that with its id, or the next if it is of the same kind.
function counterpart(place, child) {
  const id = idOf(child);
  if (!id) {
    return place && !idOf(place) && place.nodeName === child.nodeName
      ? place
      : null;
  }
  let other = place;
  while (other && idOf(other) !== id) other = other.nextSibling;
  return other;
}

// Not `node.id`, which is a field of that name in a form that has one.
function idOf(node) {
  return node.nodeType === Node.ELEMENT_NODE ? node.getAttribute("id") : null;
}

function isUsers(element, name) {
  return name === "open" && element.nodeName === "DETAILS";
}

document.addEventListener(
  "visibilitychange",
  () => refreshIn(document.hidden ? 0 : 100),
);
refreshIn(interval);

// Selection: a box that checks all rows of its form, and how many are checked.

function count() {
  for (const output of document.querySelectorAll("[data-selected]")) {
    const number =
      output.form?.querySelectorAll("tbody input[type=checkbox]:checked")
        .length ?? 0;
    output.textContent = String(number);
    for (
      const button
        of output.form?.querySelectorAll("button[data-needs-selection]") ?? []
    ) {
      button.disabled = number === 0;
    }
  }
}

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-select-all]")) {
    for (
      const box of event.target.form.querySelectorAll(
        "tbody input[type=checkbox]",
      )
    ) box.checked = event.target.checked;
  }
  if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
  count();
});
count();

// Copies the text before a button.

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button");
  if (button?.hasAttribute("data-copy")) {
    await navigator.clipboard.writeText(
      button.previousElementSibling.textContent,
    );
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  } else if (button?.hasAttribute("data-help")) {
    help.showModal();
  }
});

// Keys. They can be switched off, as they disturb those who control the browser by voice.

const keys = document.getElementById("keys-on");
try {
  keys.checked = localStorage.getItem("keys") !== "off";
  keys.addEventListener(
    "change",
    () => localStorage.setItem("keys", keys.checked ? "on" : "off"),
  );
} catch {
  // A page without keys, or a browser that keeps nothing: they are on.
}

function move(step) {
  const rows = [...main.querySelectorAll("[data-row]")];
  const row = document.activeElement?.closest("tr");
  const here = rows.findIndex((link) =>
    link === document.activeElement || (row && row.contains(link))
  );
  const next = here < 0 ? (step > 0 ? 0 : rows.length - 1) : here + step;
  rows[next]?.focus();
}

document.addEventListener("keydown", (event) => {
  if (
    event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented
  ) return;
  if (!help || help.open || !keys.checked) return;
  const isInput = event.target.matches(
    "input:not([type=checkbox]), textarea, select",
  );
  if (isInput) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const act = {
    "?": () => help.showModal(),
    "/": () => main.querySelector("input[type=search]")?.focus(),
    j: () => move(1),
    k: () => move(-1),
    x: () =>
      document.activeElement?.closest("tr")?.querySelector(
        "input[type=checkbox]",
      )?.click(),
    r: () => main.querySelector("button[data-key=r]:not(:disabled)")?.click(),
    c: () => main.querySelector("button[data-key=c]:not(:disabled)")?.click(),
  }[event.key];
  if (act) {
    event.preventDefault();
    act();
  }
});
