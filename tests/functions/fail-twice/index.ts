// Fails on the first two attempts.

Deno.serve((request) => {
  const attempt = Number(request.headers.get("supaqueue-attempt"));
  return attempt <= 2
    ? new Response(`attempt ${attempt} fails`, { status: 500 })
    : new Response(`attempt ${attempt} succeeds`);
});
