// Records the call in the database (`note_call`), then answers once the database allows it
// (`may_answer`).

async function rpc(name: string, body: unknown) {
  const key = Deno.env.get("SUPABASE_SERVICE_ROLE_KEY");
  const response = await fetch(
    `${Deno.env.get("SUPABASE_URL")}/rest/v1/rpc/${name}`,
    {
      method: "POST",
      headers: {
        "content-type": "application/json",
        authorization: `Bearer ${key}`,
        apikey: key!,
      },
      body: JSON.stringify(body),
    },
  );
  const text = await response.text();
  if (!response.ok) throw new Error(text);
  return text;
}

Deno.serve(async (request) => {
  await rpc("note_call", { job: request.headers.get("supaqueue-job-id") });
  while (await rpc("may_answer", {}) !== "true") {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return Response.json("done");
});
