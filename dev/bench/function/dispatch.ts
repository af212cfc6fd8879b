// Dispatches as the database sends them.

/** The secret, as stored in the Vault and in the function's environment. */
export const secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

const queue = {
  id: crypto.randomUUID(),
  name: "bench",
  edge_function_name: "target",
  path: null,
  auth: "service_role",
  default_headers: { "x-region": "eu-central-1" },
  timeout_ms: 60_000,
  final_statuses: [],
};

/** The record of a call, as pulses and reports hand it out, with a payload of about a kilobyte. */
export function record(id: string = crypto.randomUUID()) {
  return {
    current_job: { id },
    job: {
      id: crypto.randomUUID(),
      payload: { id: 1, amount: 12.5, text: "lorem ipsum ".repeat(80) },
      attempts: 1,
      headers: null,
      path: null,
      timeout_ms: null,
    },
    queue,
  };
}

/** What a dispatch says of a call. */
function announcement() {
  return {
    current_job: { id: crypto.randomUUID() },
    job: { id: crypto.randomUUID(), attempts: 1 },
    queue: { id: queue.id, name: queue.name },
  };
}

/** A signed dispatch of `count` current jobs. */
export async function dispatch(count: number): Promise<Request> {
  const current_jobs = Array.from({ length: count }, announcement);
  const body = JSON.stringify({ protocol: 2, current_jobs });
  const id = `msg_${crypto.randomUUID()}`;
  const timestamp = Math.floor(Date.now() / 1000);
  const raw = Uint8Array.from(
    atob(secret.slice("whsec_".length)),
    (c) => c.charCodeAt(0),
  );
  const hmac = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", raw, hmac, false, ["sign"]);
  const signed = new TextEncoder().encode(`${id}.${timestamp}.${body}`);
  const signature = new Uint8Array(
    await crypto.subtle.sign(hmac, key, signed),
  );
  return new Request("http://127.0.0.1/functions/v1/supaqueue", {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "webhook-id": id,
      "webhook-timestamp": String(timestamp),
      "webhook-signature": `v1,${btoa(String.fromCharCode(...signature))}`,
      "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    },
    body,
  });
}
