// Accepts calls without a key (verify_jwt = false in config.toml) and returns whether it got one.

Deno.serve((request) =>
  Response.json({
    authorization: request.headers.has("authorization"),
    apikey: request.headers.has("apikey"),
  })
);
