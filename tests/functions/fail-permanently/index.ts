// Fails and rules out a retry.

Deno.serve(() =>
  new Response("no such customer", {
    status: 422,
    headers: { "supaqueue-retry": "no" },
  })
);
