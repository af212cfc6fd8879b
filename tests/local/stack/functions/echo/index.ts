// Shared code lies outside the function's folder, which it may import but not read.
import { describe } from "../_shared/describe.ts";

Deno.serve(async (request) =>
  Response.json(await describe(request), { headers: { "x-echo": "yes" } })
);
