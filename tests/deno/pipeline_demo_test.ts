// Unit tests of the functions of `demo pipeline`.

import { split } from "../../dev/demo/functions/split-text/split.ts";
import { combine } from "../../dev/demo/functions/combine-measures/combine.ts";
import { assertEquals } from "./support/assert.ts";

Deno.test("split/starts a part at each heading outside of code blocks", () => {
  assertEquals(split("before\n# One\na\n```sh\n# no\n```\n## Two\nb\n"), [
    { title: "before", text: "before" },
    { title: "One", text: "# One\na\n```sh\n# no\n```" },
    { title: "Two", text: "## Two\nb" },
  ]);
});

Deno.test("split/makes a part of each paragraph of a text without headings", () => {
  const parts = split("a\nb\r\n\r\n\n c \n").map((part) => part.text);
  assertEquals(parts, ["a\nb", "c"]);
  assertEquals(split(" \n"), []);
});

Deno.test("combine/adds up measures and weights the LIX by words", () => {
  const done = (words: number, lix: number) => ({
    status: "successful",
    result: { words, sentences: 1, lix },
  });
  const failed = { status: "failed", result: null };
  const want = { parts: 3, words: 40, sentences: 2, lix: 50 };
  assertEquals(combine([done(30, 40), done(10, 80), failed]), want);
  assertEquals(combine([]), { parts: 0, words: 0, sentences: 0, lix: 0 });
});
