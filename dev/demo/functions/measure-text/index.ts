// Measures a section of text, behind a rate limit and on a bad day.
//
// An edge function as you would write it. It answers 429 with `retry-after`
// when it is called too often, and 500 now and then, as the services do that
// such functions call. Which attempts fail depends on the text alone, so that
// the same file gives the same failures.

import { measure, sha256 } from "./measure.ts";
import { RateLimit } from "./rate_limit.ts";

const rateLimit = new RateLimit({ perSecond: 10, burst: 8 });

/** How long a service that is worth a queue takes to answer. */
const SERVICE_MS = 150;

const calls = { now: 0, most: 0 };

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
    return Response.json({ error: "out of luck" }, { status: 500 });
  }
  return Response.json({
    ...measure(text),
    sha256: hash,
    most_calls_in_flight: calls.most,
  });
}

Deno.serve(async (request) => {
  calls.now += 1;
  calls.most = Math.max(calls.most, calls.now);
  try {
    return await handle(request);
  } finally {
    calls.now -= 1;
  }
});
