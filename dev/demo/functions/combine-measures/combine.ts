/** A job that this one depends on, as the add-on job_dependencies passes it. */
export interface Source {
  status: string;
  result: { words: number; sentences: number; lix: number } | null;
}

/** Adds up the measures of all parts. The LIX is their mean, weighted by words. */
export function combine(sources: Source[]) {
  let words = 0;
  let sentences = 0;
  let lix = 0;
  for (const { result } of sources) {
    if (result === null) continue;
    words += result.words;
    sentences += result.sentences;
    lix += result.lix * result.words;
  }
  return {
    parts: sources.length,
    words,
    sentences,
    lix: words === 0 ? 0 : Math.round(lix / words),
  };
}
