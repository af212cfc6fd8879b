Deno.serve((request) => {
  if (new URL(request.url).pathname.endsWith("/now")) Deno.exit(3);
  return new Response("alive");
});
