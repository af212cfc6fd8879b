/** A part of a text. */
export interface Part {
  title: string;
  text: string;
}

/**
 * Splits a text at its Markdown headings, or at blank lines if it has none.
 * Lines in a block of code are never headings.
 */
export function split(text: string): Part[] {
  const lines = text.split(/\r?\n/);
  const headings = headingsOf(lines);
  const starts = headings.some(Boolean)
    ? headings
    : lines.map((line) => line.trim() === "");

  const blocks: string[][] = [[]];
  for (const [i, line] of lines.entries()) {
    if (starts[i]) blocks.push([]);
    blocks[blocks.length - 1].push(line);
  }
  return blocks
    .map((block) => block.join("\n").trim())
    .filter((block) => block !== "")
    .map((block) => ({ title: titleOf(block), text: block }));
}

function headingsOf(lines: string[]): boolean[] {
  let inCode = false;
  return lines.map((line) => {
    if (/^\s*(```|~~~)/.test(line)) inCode = !inCode;
    return !inCode && /^#{1,6}\s/.test(line);
  });
}

function titleOf(block: string): string {
  return block.split("\n", 1)[0].replace(/^#+\s*/, "").slice(0, 60);
}
