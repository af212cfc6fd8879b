// Fails on every attempt.

Deno.serve(() => Response.json({ reason: "I always do" }, { status: 500 }));
