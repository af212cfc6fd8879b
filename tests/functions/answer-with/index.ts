// Answers with the status that the payload names.

Deno.serve(async (request) => {
  const { status } = await request.json();
  return new Response(null, { status });
});
