// Answers after the time that the payload asks for, with the time of the call.

Deno.serve(async (request) => {
  const reachedAt = performance.timeOrigin + performance.now();
  const { ms } = await request.json();
  if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
  return Response.json({ reached_at: reachedAt });
});
