// Dispatches as the database sends them.

/** The secret, as stored in the Vault and in the function's environment. */
export const secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/** A current job with its job and its queue, and a payload of about a kilobyte. */
export function assignment() {
  const now = new Date();
  const id = crypto.randomUUID();
  return {
    current_job: {
      id: crypto.randomUUID(),
      created_at: now.toISOString(),
      worker: crypto.randomUUID(),
      job: id,
      queue: crypto.randomUUID(),
      is_complete: false,
      is_successful: false,
      acknowledged_at: now.toISOString(),
      lease_until: new Date(now.getTime() + 90_000).toISOString(),
      lane: null,
      previous: null,
    },
    job: {
      id,
      created_at: now.toISOString(),
      status: "in_progress",
      payload: { id: 1, amount: 12.5, text: "lorem ipsum ".repeat(80) },
      attempts: 1,
      priority: 0,
      run_at: now.toISOString(),
      headers: null,
      max_attempts: null,
      timeout_ms: null,
      started_at: now.toISOString(),
    },
    queue: {
      id: crypto.randomUUID(),
      name: "bench",
      edge_function_name: "target",
      default_headers: { "x-region": "eu-central-1" },
      max_attempts: 3,
      timeout_ms: 60_000,
      backoff_base_ms: 1000,
      backoff_max_ms: 300_000,
      auth: "service_role",
      final_statuses: [],
      is_paused: false,
    },
  };
}

/** A signed dispatch of `count` current jobs. */
export async function dispatch(count: number): Promise<Request> {
  const current_jobs = Array.from({ length: count }, assignment);
  const body = JSON.stringify({ current_jobs });
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
