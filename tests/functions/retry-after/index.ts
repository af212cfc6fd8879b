// On the first attempt, asks to be retried after two seconds.

Deno.serve((request) => {
  const isFirst = request.headers.get("supaqueue-attempt") === "1";
  return isFirst
    ? new Response("later", { status: 429, headers: { "retry-after": "2" } })
    : new Response("thanks for waiting");
});
