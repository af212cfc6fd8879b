// Combines the measures of all parts of a text. It needs no database, because
// the body contains the results of the jobs that this one depends on.

import { combine } from "./combine.ts";

Deno.serve(async (request) => {
  const { sources = [] } = await request.json();
  return Response.json(combine(sources));
});
