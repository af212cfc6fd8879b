// Takes calls without a key (config.toml: verify_jwt = false); says whether it got one.

Deno.serve((request) =>
  Response.json({
    authorization: request.headers.has("authorization"),
    apikey: request.headers.has("apikey"),
  })
);
