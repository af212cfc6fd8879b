// The README's example: pretends to send an e-mail. The e-mail service is busy at Grace's first
// attempt, and nobody@example.com does not exist.

Deno.serve(async (request) => {
  const { to } = await request.json();
  const attempt = request.headers.get("supaqueue-attempt");
  if (to === "grace@example.com" && attempt === "1") {
    const headers = { "retry-after": "1" };
    return new Response("busy", { status: 429, headers });
  }
  if (to === "nobody@example.com") {
    return new Response("no such address", { status: 500 });
  }
  return Response.json({ sent: to });
});
