// Returns the headers of the request.

Deno.serve((request) => Response.json(Object.fromEntries(request.headers)));
