/** The measures of a text. */
export interface Measures {
  words: number;
  sentences: number;
  /**
   * The readability index LIX, which works for many languages: words per
   * sentence plus the percentage of words with more than six letters. Below 30
   * is easy, above 50 is hard.
   */
  lix: number;
  /** The three most frequent words with more than three letters. */
  frequent: string[];
}

/** Counts the words and sentences of a text. */
export function measure(text: string): Measures {
  const words = text.match(/\p{L}[\p{L}\p{M}\p{N}'’_-]*/gu) ?? [];
  const ends = text.match(/[.!?…。！？]+(?=\s|$)|\n\s*\n/gu) ?? [];
  const sentences = Math.max(1, ends.length);
  const long = words.filter((word) => letters(word) > 6).length;
  const lix = words.length === 0
    ? 0
    : words.length / sentences + 100 * long / words.length;
  return {
    words: words.length,
    sentences,
    lix: Math.round(lix),
    frequent: mostFrequent(words.filter((word) => letters(word) > 3), 3),
  };
}

/** The SHA-256 of a text in UTF-8, in hexadecimal. */
export async function sha256(text: string): Promise<string> {
  const bytes = new TextEncoder().encode(text);
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join(
    "",
  );
}

/** The length of a word in code points rather than UTF-16 units. */
function letters(word: string): number {
  return [...word].length;
}

/** The most frequent words. Ties are in order of appearance. */
function mostFrequent(words: string[], limit: number): string[] {
  const counts = new Map<string, number>();
  for (const word of words.map((word) => word.toLowerCase())) {
    counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  const entries = [...counts].sort(([, a], [, b]) => b - a);
  return entries.slice(0, limit).map(([word]) => word);
}
