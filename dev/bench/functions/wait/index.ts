// Answers after the time that the payload asks for, with the time of the call. The first attempt fails if the
// payload says so. It counts its calls and remembers when the payloads with a `probe` came; `collect` asks for
// that.

let calls = 0;
let inFlight = 0;
let mostInFlight = 0;
const probes: Record<string, number> = {};

const now = () => performance.timeOrigin + performance.now();

Deno.serve(async (request) => {
  const reachedAt = now();
  const { ms, probe, collect, fails_first } = await request.json();
  if (collect) {
    return Response.json({ now: now(), calls, inFlight, mostInFlight, probes });
  }
  inFlight++;
  mostInFlight = Math.max(mostInFlight, inFlight);
  if (probe !== undefined) probes[probe] = reachedAt;
  if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
  calls++;
  inFlight--;
  if (fails_first && request.headers.get("supaqueue-attempt") === "1") {
    return new Response(null, { status: 500 });
  }
  return Response.json({ reached_at: reachedAt });
});
