// The baseline: pg_net calls this function for each job; it awaits the target and then reports.

const project = Deno.env.get("SUPABASE_URL");
const key = Deno.env.get("SUPABASE_SERVICE_ROLE_KEY");

function post(path: string, body: unknown): Promise<Response> {
  return fetch(`${project}${path}`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${key}`,
      apikey: `${key}`,
      "content-type": "application/json",
    },
    body: JSON.stringify(body),
  });
}

Deno.serve(async (request) => {
  const { id, payload } = await request.json();
  const answer = await post("/functions/v1/wait", payload);
  const result = await answer.json();
  const report = await post("/rest/v1/rpc/report_baseline", { id, result });
  if (!report.ok) throw new Error(`Cannot report: ${await report.text()}`);
  await report.body?.cancel();
  return new Response(null, { status: 204 });
});
