// Fails and says that another attempt would too.

Deno.serve(() =>
  new Response("no such customer", {
    status: 422,
    headers: { "supaqueue-retry": "no" },
  })
);
