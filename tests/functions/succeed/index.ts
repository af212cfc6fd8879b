// Succeeds and returns the attempt and the payload.

Deno.serve(async (request) => {
  const attempt = Number(request.headers.get("supaqueue-attempt"));
  return Response.json({ attempt, payload: await request.json() });
});
