// The reference for the WebAssembly function: its work in plain TypeScript, with
// WebCrypto and `fetch`.
//
// It checks the signature, answers 202, acknowledges with the first pulse of a run,
// keeps its lease with more of them, calls the target with the same headers, reports,
// and continues with the next job. What it leaves out (details of errors, retries,
// waits for work, budgets, logs) costs nothing on the happy path.

interface Assignment {
  current_job: { id: string };
  job: {
    id: string;
    payload: unknown;
    attempts: number;
    headers: Record<string, string> | null;
    path: string | null;
    timeout_ms: number | null;
  };
  queue: {
    id: string;
    name: string;
    edge_function_name: string;
    path: string | null;
    default_headers: Record<string, string> | null;
    timeout_ms: number;
    auth: string;
  };
}

interface PulseAnswer {
  accepted: boolean;
  lease_ms: number;
  started: Assignment[];
  cancelled: string[];
}

interface ReportAnswer {
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

async function rpc<Answer>(name: string, body: unknown): Promise<Answer> {
  const response = await fetch(`${url}/rest/v1/rpc/${name}`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      "content-profile": "public",
      "apikey": serviceKey,
      "authorization": `Bearer ${serviceKey}`,
    },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(8_000),
    redirect: "manual",
  });
  return JSON.parse(await read(response.body, 16_000_000));
}

async function call(
  { job, queue }: Assignment,
  traceparent: string,
  aborted: AbortController,
) {
  const body = JSON.stringify(job.payload);
  const timeout = job.timeout_ms ?? queue.timeout_ms;
  const now = Date.now();
  const id = `job_${job.id}`;
  const timestamp = Math.floor(now / 1000);
  const span = crypto.getRandomValues(new Uint8Array(8));
  const spanId = Array.from(span, (b) => b.toString(16).padStart(2, "0"))
    .join("");
  const timer = setTimeout(() => aborted.abort(), timeout);
  const response = await fetch(
    `${url}/functions/v1/${queue.edge_function_name}${
      job.path ?? queue.path ?? ""
    }`,
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
      signal: aborted.signal,
      redirect: "manual",
    },
  );
  const text = await read(response.body, resultLimit);
  clearTimeout(timer);
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

/** What this isolate does until nothing is left. A dispatch that comes meanwhile joins it. */
class Run {
  static current: Run | undefined;
  readonly ended: Promise<void>;
  readonly #id = crypto.randomUUID();
  readonly #calls = new Map<string, AbortController>();
  readonly #traceparent: string;
  #arrived: string[] = [];
  #number = 0;
  #pulse: Promise<void> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #deadline: ReturnType<typeof setTimeout> | undefined;
  #end = () => {};

  constructor(traceparent: string) {
    this.#traceparent = traceparent;
    this.ended = new Promise((end) => this.#end = end);
  }

  dispatched(ids: string[]): void {
    this.#arrived.push(...ids);
    this.#beat();
  }

  /** Sends the next pulse, unless one is under way, which the next one follows. */
  #beat(): void {
    this.#pulse ??= this.#pulseNow().finally(() => {
      this.#pulse = undefined;
      if (this.#arrived.length > 0) this.#beat();
      else this.#endIfIdle();
    });
  }

  async #pulseNow(): Promise<void> {
    clearTimeout(this.#timer);
    const sentAt = Date.now();
    const acknowledge = this.#arrived;
    this.#arrived = [];
    this.#number += 1;
    const answer = await rpc<PulseAnswer>("supaqueue_pulse", {
      _run: this.#id,
      _number: this.#number,
      _request: {
        protocol: 2,
        acknowledge,
        calls: [...this.#calls.keys()],
        limits: {
          calls: 100,
          bytes: 8_000_000,
          within_ms: 75_000,
          whole_ms: 135_000,
        },
      },
    });
    if (!answer.accepted) return this.#abort();
    clearTimeout(this.#deadline);
    const left = sentAt + answer.lease_ms * 11 / 12 - Date.now();
    this.#deadline = setTimeout(() => this.#abort(), left);
    this.#timer = setTimeout(() => this.#beat(), answer.lease_ms / 6);
    for (const id of answer.cancelled) this.#calls.get(id)?.abort();
    for (const assignment of answer.started) this.#lane(assignment);
  }

  async #lane(first: Assignment): Promise<void> {
    let next: Assignment | null = first;
    while (next) {
      const id: string = next.current_job.id;
      const aborted = new AbortController();
      this.#calls.set(id, aborted);
      const { isSuccessful, details } = await call(
        next,
        this.#traceparent,
        aborted,
      );
      const answer: ReportAnswer = await rpc("end_current_job", {
        cur_job_id: id,
        _is_complete: true,
        _is_successful: isSuccessful,
        _report: { run: this.#id, ...details },
        _next: { within_ms: 75_000, bytes: 8_000_000 },
      });
      this.#calls.delete(id);
      next = answer.next;
    }
    this.#endIfIdle();
  }

  #abort(): void {
    for (const aborted of this.#calls.values()) aborted.abort();
  }

  #endIfIdle(): void {
    if (this.#pulse || this.#calls.size > 0) return;
    clearTimeout(this.#timer);
    clearTimeout(this.#deadline);
    Run.current = undefined;
    this.#end();
  }
}

Deno.serve(async (request) => {
  const body = await read(request.body, requestLimit);
  if (!await isSigned(request.headers, body)) {
    return Response.json({ code: "not_signed", message: "not signed by us" }, {
      status: 401,
    });
  }
  const { current_jobs } = JSON.parse(body) as {
    current_jobs: { current_job: { id: string } }[];
  };
  const traceparent = request.headers.get("traceparent") ?? "";
  if (!Run.current) {
    Run.current = new Run(traceparent);
    runtime.EdgeRuntime?.waitUntil(Run.current.ended);
  }
  Run.current.dispatched(current_jobs.map((call) => call.current_job.id));
  return Response.json({ accepted: current_jobs.length }, { status: 202 });
});
