// Compares values as JSON.

export function assertEquals(got: unknown, want: unknown, what = "it") {
  if (JSON.stringify(got) !== JSON.stringify(want)) {
    throw new Error(
      `${what} is ${JSON.stringify(got)}, not ${JSON.stringify(want)}`,
    );
  }
}
