// Takes as long as the payload says, and says when it was reached.

Deno.serve(async (request) => {
  const reachedAt = performance.timeOrigin + performance.now();
  const { ms } = await request.json();
  if (ms > 0) await new Promise((resolve) => setTimeout(resolve, ms));
  return Response.json({ reached_at: reachedAt });
});
