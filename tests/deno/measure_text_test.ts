// The parts of the demo's target that can be tested alone; the end-to-end
// tests run the whole of it.

import {
  measure,
  sha256,
} from "../../dev/demo/functions/measure-text/measure.ts";
import { RateLimit } from "../../dev/demo/functions/measure-text/rate_limit.ts";

function assertEquals(got: unknown, want: unknown) {
  if (JSON.stringify(got) !== JSON.stringify(want)) {
    throw new Error(
      `got ${JSON.stringify(got)}, want ${JSON.stringify(want)}`,
    );
  }
}

Deno.test("measure/counts words, sentences and long words", () => {
  const text =
    "The worker's queue is short. Retries are scheduled, aren't they?";
  assertEquals(measure(text), {
    words: 10,
    sentences: 2,
    lix: 35, // 5 words per sentence, and "worker's", "Retries", "scheduled" of 10 are long
    frequent: ["worker's", "queue", "short"],
  });
});

Deno.test("measure/a headline is a sentence of its own", () => {
  assertEquals(measure("# One\n\nTwo three.").sentences, 2);
});

Deno.test("measure/a version number ends no sentence", () => {
  assertEquals(measure("Deno 2.1.4 runs it.").sentences, 1);
});

Deno.test("measure/counts words of other scripts", () => {
  assertEquals(measure("Größe und Übermaß").words, 3);
  assertEquals(measure("очередь задач").words, 2);
});

Deno.test("measure/a text without words has no readability", () => {
  const want = { words: 0, sentences: 1, lix: 0, frequent: [] };
  assertEquals(measure("12 % 3 …"), want);
});

Deno.test("measure/the most frequent word comes first", () => {
  const text = "jobs queue jobs worker queue jobs lease lease";
  assertEquals(measure(text).frequent, ["jobs", "queue", "lease"]);
});

Deno.test("sha256/is that of the text in UTF-8", async () => {
  // printf 'naïve' | sha256sum
  const want =
    "f86fd89de87a848a45bfe77708d91a5d2ff48b8e4a4b98af5165af82692f8928";
  assertEquals(await sha256("naïve"), want);
});

Deno.test("RateLimit/lets a burst through, then one call per interval", () => {
  const limit = new RateLimit({ perSecond: 10, burst: 2 }, 0);
  assertEquals(["a", "b", "c"].map((job) => limit.enter(job, 0)), [0, 0, 1]);
  assertEquals(limit.enter("c", 99), 1);
  assertEquals(limit.enter("c", 100), 0);
  assertEquals(limit.enter("d", 100), 1);
});

Deno.test("RateLimit/tells each caller a second in which there is room", () => {
  const limit = new RateLimit({ perSecond: 2, burst: 1 }, 0);
  const jobs = ["a", "b", "c", "d", "e", "f"];
  assertEquals(jobs.map((job) => limit.enter(job, 0)), [0, 1, 1, 2, 2, 3]);
});

Deno.test("RateLimit/a quiet time gives room for no more than the burst", () => {
  const limit = new RateLimit({ perSecond: 10, burst: 2 }, 0);
  const jobs = ["a", "b", "c"];
  assertEquals(jobs.map((job) => limit.enter(job, 60_000)), [0, 0, 1]);
});
