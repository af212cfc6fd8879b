// The reference for the WebAssembly function: its work in plain TypeScript, with
// WebCrypto and `fetch`.
//
// It checks the signature, answers 202, acknowledges, calls the target with the
// same headers, reports, and continues with the next job. What it leaves out
// (details of errors, retries, budgets, logs) costs nothing on the happy path.

interface Assignment {
  current_job: { id: string };
  job: {
    id: string;
    payload: unknown;
    attempts: number;
    headers: Record<string, string> | null;
    timeout_ms: number | null;
  };
  queue: {
    name: string;
    edge_function_name: string;
    default_headers: Record<string, string> | null;
    timeout_ms: number;
    auth: string;
  };
}

interface Answer {
  accepted: boolean;
  next: Assignment | null;
}

const encoder = new TextEncoder();
const hmac = { name: "HMAC", hash: "SHA-256" };
const toleranceSeconds = 300;
const requestLimit = 6_000_000;
const resultLimit = 262_144;
const runtime = globalThis as {
  EdgeRuntime?: { waitUntil(work: Promise<unknown>): void };
};

function variable(name: string): string {
  const value = Deno.env.get(name);
  if (!value) throw new Error(`Cannot start: ${name} is not set`);
  return value;
}

async function importKeys(): Promise<CryptoKey[]> {
  const secrets = variable("SUPAQUEUE_SECRET").split(" ");
  return await Promise.all(secrets.map((secret) => {
    const bytes = Uint8Array.from(
      atob(secret.slice("whsec_".length)),
      (c) => c.charCodeAt(0),
    );
    return crypto.subtle.importKey("raw", bytes, hmac, false, [
      "sign",
      "verify",
    ]);
  }));
}

const keys = await importKeys();
const url = variable("SUPABASE_URL");
const serviceKey = variable("SUPABASE_SERVICE_ROLE_KEY");

function bytesOf(base64: string) {
  try {
    return Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  } catch {
    return undefined;
  }
}

async function isSigned(headers: Headers, body: string): Promise<boolean> {
  const id = headers.get("webhook-id");
  const timestamp = headers.get("webhook-timestamp");
  const signatures = headers.get("webhook-signature");
  if (!id || !timestamp || !signatures) return false;
  const age = Date.now() / 1000 - Number(timestamp);
  if (!(Math.abs(age) <= toleranceSeconds)) return false;
  const signed = encoder.encode(`${id}.${timestamp}.${body}`);
  for (const signature of signatures.split(" ")) {
    const [version, base64] = signature.split(",");
    const bytes = version === "v1" && base64 ? bytesOf(base64) : undefined;
    if (!bytes) continue;
    for (const key of keys) {
      if (await crypto.subtle.verify(hmac, key, bytes, signed)) return true;
    }
  }
  return false;
}

async function sign(id: string, timestamp: number, body: string) {
  const content = encoder.encode(`${id}.${timestamp}.${body}`);
  const signatures = await Promise.all(keys.map(async (key) => {
    const bytes = new Uint8Array(await crypto.subtle.sign(hmac, key, content));
    return `v1,${btoa(String.fromCharCode(...bytes))}`;
  }));
  return signatures.join(" ");
}

/** Reads a body as text, up to a limit. */
async function read(
  body: ReadableStream<Uint8Array> | null,
  limit: number,
): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  let length = 0;
  for await (const chunk of body ?? []) {
    length += chunk.length;
    if (length > limit) throw new Error("the body is too large");
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}

async function report(
  id: string,
  isComplete: boolean,
  isSuccessful: boolean,
  details: Record<string, unknown>,
): Promise<Answer> {
  const response = await fetch(`${url}/rest/v1/rpc/end_current_job`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "apikey": serviceKey,
      "authorization": `Bearer ${serviceKey}`,
    },
    body: JSON.stringify({
      cur_job_id: id,
      _is_complete: isComplete,
      _is_successful: isSuccessful,
      _report: details,
      _next_within_ms: isComplete ? 75_000 : null,
    }),
    signal: AbortSignal.timeout(12_000),
    redirect: "manual",
  });
  return JSON.parse(await read(response.body, 16_000_000));
}

async function call({ job, queue }: Assignment, traceparent: string) {
  const body = JSON.stringify(job.payload);
  const timeout = job.timeout_ms ?? queue.timeout_ms;
  const now = Date.now();
  const id = `job_${job.id}`;
  const timestamp = Math.floor(now / 1000);
  const span = crypto.getRandomValues(new Uint8Array(8));
  const spanId = Array.from(span, (b) => b.toString(16).padStart(2, "0"))
    .join("");
  const response = await fetch(
    `${url}/functions/v1/${queue.edge_function_name}`,
    {
      method: "POST",
      headers: {
        ...queue.default_headers,
        ...job.headers,
        "authorization": `Bearer ${serviceKey}`,
        "content-type": "application/json",
        "idempotency-key": job.id,
        "supaqueue-queue": encodeURI(queue.name),
        "supaqueue-job-id": job.id,
        "supaqueue-attempt": String(job.attempts),
        "supaqueue-deadline": new Date(now + timeout).toISOString(),
        "traceparent": traceparent.slice(0, 36) + spanId + "-01",
        "webhook-id": id,
        "webhook-timestamp": String(timestamp),
        "webhook-signature": await sign(id, timestamp, body),
      },
      body,
      signal: AbortSignal.timeout(timeout),
      redirect: "manual",
    },
  );
  const text = await read(response.body, resultLimit);
  const isJson = response.headers.get("content-type")?.includes("json");
  return {
    isSuccessful: response.ok,
    details: {
      http_status: response.status,
      duration_ms: Date.now() - now,
      result: isJson ? JSON.parse(text) : text,
    },
  };
}

async function lane(first: Assignment, traceparent: string): Promise<void> {
  const lane = crypto.randomUUID();
  const { accepted } = await report(first.current_job.id, false, false, {
    lane,
  });
  let next = accepted ? first : null;
  while (next) {
    const { isSuccessful, details } = await call(next, traceparent);
    const id = next.current_job.id;
    next = (await report(id, true, isSuccessful, { lane, ...details })).next;
  }
}

Deno.serve(async (request) => {
  const body = await read(request.body, requestLimit);
  if (!await isSigned(request.headers, body)) {
    return Response.json({ code: "not_signed", message: "not signed by us" }, {
      status: 401,
    });
  }
  const { current_jobs } = JSON.parse(body) as { current_jobs: Assignment[] };
  const traceparent = request.headers.get("traceparent") ?? "";
  for (const assignment of current_jobs) {
    runtime.EdgeRuntime?.waitUntil(lane(assignment, traceparent));
  }
  return Response.json({ accepted: current_jobs.length }, { status: 202 });
});
