// Unit tests of the demo's target function. The tests of the demo run all of it.

import {
  measure,
  sha256,
} from "../../dev/demo/functions/measure-text/measure.ts";
import { RateLimit } from "../../dev/demo/functions/measure-text/rate_limit.ts";
import { assertEquals } from "./support/assert.ts";

Deno.test("measure/counts words, sentences and long words", () => {
  const text =
    "The worker's queue is short. Retries are scheduled, aren't they?";
  assertEquals(measure(text), {
    words: 10,
    sentences: 2,
    lix: 35, // 5 words per sentence, and 3 of 10 words are long: "worker's", "Retries", "scheduled"
    frequent: ["worker's", "queue", "short"],
  });
});

Deno.test("measure/a heading is a separate sentence", () => {
  assertEquals(measure("# One\n\nTwo three.").sentences, 2);
});

Deno.test("measure/a version number does not end a sentence", () => {
  assertEquals(measure("Deno 2.1.4 runs it.").sentences, 1);
});

Deno.test("measure/counts words in other scripts", () => {
  assertEquals(measure("Größe und Übermaß").words, 3);
  assertEquals(measure("очередь задач").words, 2);
});

Deno.test("measure/the LIX of a text without words is 0", () => {
  const want = { words: 0, sentences: 1, lix: 0, frequent: [] };
  assertEquals(measure("12 % 3 …"), want);
});

Deno.test("measure/the most frequent word comes first", () => {
  const text = "jobs queue jobs worker queue jobs lease lease";
  assertEquals(measure(text).frequent, ["jobs", "queue", "lease"]);
});

Deno.test("sha256/hashes the text in UTF-8", async () => {
  // printf 'naïve' | sha256sum
  const want =
    "f86fd89de87a848a45bfe77708d91a5d2ff48b8e4a4b98af5165af82692f8928";
  assertEquals(await sha256("naïve"), want);
});

Deno.test("RateLimit/allows a burst, then one call per interval", () => {
  const limit = new RateLimit({ perSecond: 10, burst: 2 }, 0);
  assertEquals(["a", "b", "c"].map((job) => limit.enter(job, 0)), [0, 0, 1]);
  assertEquals(limit.enter("c", 99), 1);
  assertEquals(limit.enter("c", 100), 0);
  assertEquals(limit.enter("d", 100), 1);
});

Deno.test("RateLimit/assigns each rejected caller a second with room", () => {
  const limit = new RateLimit({ perSecond: 2, burst: 1 }, 0);
  const jobs = ["a", "b", "c", "d", "e", "f"];
  assertEquals(jobs.map((job) => limit.enter(job, 0)), [0, 1, 1, 2, 2, 3]);
});

Deno.test("RateLimit/allows no more than the burst after a quiet time", () => {
  const limit = new RateLimit({ perSecond: 10, burst: 2 }, 0);
  const jobs = ["a", "b", "c"];
  assertEquals(jobs.map((job) => limit.enter(job, 60_000)), [0, 0, 1]);
});
