// Combines what was measured of the parts of a text. It needs no database: the
// results of the jobs before it are in the body.

import { combine } from "./combine.ts";

Deno.serve(async (request) => {
  const { sources = [] } = await request.json();
  return Response.json(combine(sources));
});
