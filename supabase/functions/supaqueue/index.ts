// Loads the function's WebAssembly module, which makes every decision, and serves.
import { handle, type Platform, sourceHash } from "./supaqueue.js";

const runtime = globalThis as {
  EdgeRuntime?: { waitUntil(work: Promise<unknown>): void };
};
let isEnding = false;
addEventListener("beforeunload", () => {
  isEnding = true;
});

const platform: Platform = {
  sourceHash,
  startedAt: Date.now(),
  isEnding: () => isEnding,
  env: (name) => Deno.env.get(name),
  now: () => performance.timeOrigin + performance.now(),
  random: () => crypto.getRandomValues(new Uint8Array(16)),
  after: (ms, work) => setTimeout(work, ms),
  forget: (timer) => clearTimeout(timer as number),
  fetch: (url, init) => fetch(url, init),
  log: (level, line) => console[level](line),
  waitUntil: (work) => runtime.EdgeRuntime?.waitUntil(work),
};

Deno.serve((request) => handle(request, platform));
