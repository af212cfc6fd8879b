// Answers with the status in the payload.

Deno.serve(async (request) => {
  const { status } = await request.json();
  return new Response(null, { status });
});
