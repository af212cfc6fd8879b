// Unit tests of the functions of `demo pipeline`.

import { split } from "../../dev/demo/functions/split-text/split.ts";
import { combine } from "../../dev/demo/functions/combine-measures/combine.ts";

function assertSame(got: unknown, want: unknown) {
  if (JSON.stringify(got) !== JSON.stringify(want)) {
    throw new Error(`${JSON.stringify(got)} is not ${JSON.stringify(want)}`);
  }
}

Deno.test("split/starts a part at each heading outside of code blocks", () => {
  assertSame(split("before\n# One\na\n```sh\n# no\n```\n## Two\nb\n"), [
    { title: "before", text: "before" },
    { title: "One", text: "# One\na\n```sh\n# no\n```" },
    { title: "Two", text: "## Two\nb" },
  ]);
});

Deno.test("split/makes a part of each paragraph of a text without headings", () => {
  assertSame(split("a\nb\r\n\r\n\n c \n").map((part) => part.text), [
    "a\nb",
    "c",
  ]);
  assertSame(split(" \n"), []);
});

Deno.test("combine/adds up measures and weights the LIX by words", () => {
  const done = (words: number, lix: number) => ({
    status: "successful",
    result: { words, sentences: 1, lix },
  });
  assertSame(
    combine([done(30, 40), done(10, 80), { status: "failed", result: null }]),
    {
      parts: 3,
      words: 40,
      sentences: 2,
      lix: 50,
    },
  );
  assertSame(combine([]), { parts: 0, words: 0, sentences: 0, lix: 0 });
});
