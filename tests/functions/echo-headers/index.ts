// Says which headers arrived.

Deno.serve((request) => Response.json(Object.fromEntries(request.headers)));
