// Shared code is outside the function's folder: it can be imported but not read.
import { describe } from "../_shared/describe.ts";

Deno.serve(async (request) =>
  Response.json(await describe(request), { headers: { "x-echo": "yes" } })
);
