// Succeeds, and says what it was given.

Deno.serve(async (request) => {
  const attempt = Number(request.headers.get("supaqueue-attempt"));
  return Response.json({ attempt, payload: await request.json() });
});
