Deno.serve((request) => new Response(request.body));
