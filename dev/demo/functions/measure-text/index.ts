// Measures a section of text, with a rate limit and occasional failures.
//
// This is an ordinary edge function. It answers 429 with `retry-after` when it
// is called too often, and sometimes 500, as the services that such functions
// call do. The failing attempts depend only on the text, so that the same file
// always has the same failures.

import { measure, sha256 } from "./measure.ts";
import { RateLimit } from "./rate_limit.ts";

const rateLimit = new RateLimit({ perSecond: 10, burst: 8 });

/** A simulated call of a slow service. */
const SERVICE_MS = 150;

const calls = { inFlight: 0, max: 0 };

async function handle(request: Request): Promise<Response> {
  const job = request.headers.get("supaqueue-job-id") ?? crypto.randomUUID();
  const attempt = Number(request.headers.get("supaqueue-attempt") ?? 1);
  const { text } = await request.json();
  if (typeof text !== "string") {
    return Response.json({ error: "text is not a string" }, { status: 400 });
  }

  const wait = rateLimit.enter(job);
  if (wait > 0) {
    const headers = { "retry-after": String(wait) };
    return Response.json({ error: "too many calls" }, { status: 429, headers });
  }
  await new Promise((resolve) => setTimeout(resolve, SERVICE_MS));
  const hash = await sha256(text);
  if ((parseInt(hash.slice(0, 2), 16) + attempt) % 4 === 0) {
    return Response.json({ error: "a simulated failure" }, { status: 500 });
  }
  return Response.json({
    ...measure(text),
    sha256: hash,
    max_calls_in_flight: calls.max,
  });
}

Deno.serve(async (request) => {
  calls.inFlight += 1;
  calls.max = Math.max(calls.max, calls.inFlight);
  try {
    return await handle(request);
  } finally {
    calls.inFlight -= 1;
  }
});
