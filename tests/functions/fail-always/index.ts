// Fails on every attempt.

Deno.serve(() => Response.json({ reason: "out of order" }, { status: 500 }));
