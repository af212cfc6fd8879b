/** A part of a text. */
export interface Part {
  title: string;
  text: string;
}

/**
 * The parts of a text: one begins at each heading of Markdown, or at each blank
 * line in a text that has no heading. A "heading" in a block of code is none.
 */
export function split(text: string): Part[] {
  const lines = text.split(/\r?\n/);
  const headings = headingsOf(lines);
  const begins = headings.some(Boolean)
    ? headings
    : lines.map((line) => line.trim() === "");

  const blocks: string[][] = [[]];
  for (const [i, line] of lines.entries()) {
    if (begins[i]) blocks.push([]);
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
