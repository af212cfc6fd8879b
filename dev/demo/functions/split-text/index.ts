// Splits a text, and inserts a job for each part before the job that combines
// the results.
//
// The number of parts is only known here. The database function add_parts, which
// is called through the project's API, inserts the jobs.

import { split } from "./split.ts";

const url = Deno.env.get("SUPABASE_URL");
const key = Deno.env.get("SUPABASE_SERVICE_ROLE_KEY");

Deno.serve(async (request) => {
  const { file, text } = await request.json();
  if (typeof text !== "string") {
    return Response.json({ error: "text is not a string" }, { status: 400 });
  }
  const parts = split(text).map((part) => ({ file, ...part }));

  const answer = await fetch(`${url}/rest/v1/rpc/add_parts`, {
    method: "POST",
    headers: {
      "apikey": `${key}`,
      "authorization": `Bearer ${key}`,
      "content-type": "application/json",
    },
    body: JSON.stringify({
      job: request.headers.get("supaqueue-job-id"),
      parts,
    }),
  });
  const body = await answer.text();
  if (!answer.ok) {
    return Response.json({ error: body }, { status: 502 });
  }
  return Response.json({ parts: parts.length });
});
