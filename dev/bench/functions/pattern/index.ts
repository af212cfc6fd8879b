// The function of the documented pattern: calls the target for one message after the other, and deletes
// each message that it is done with.

const project = Deno.env.get("SUPABASE_URL");
const key = Deno.env.get("SUPABASE_SERVICE_ROLE_KEY");

async function post(path: string, body: unknown): Promise<void> {
  const response = await fetch(`${project}${path}`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${key}`,
      apikey: `${key}`,
      "content-type": "application/json",
    },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  if (!response.ok) {
    throw new Error(`Cannot post to ${path}: ${response.status} ${text}`);
  }
}

Deno.serve(async (request) => {
  const messages: { id: number; payload: unknown }[] = await request.json();
  for (const { id, payload } of messages) {
    await post("/functions/v1/wait", payload);
    await post("/rest/v1/rpc/delete_message", { id });
  }
  return new Response(null, { status: 204 });
});
