// The surroundings of index.ts in a project: a runtime with EdgeRuntime, and a
// gateway on 127.0.0.1 to target functions and to a database that runs every dispatched job.

import { load } from "./commonjs.ts";

interface Webhook {
  sign(id: string, time: Date, body: string): string;
  verify(body: string, headers: Record<string, string>): unknown;
}

const standardwebhooks = load("standardwebhooks") as {
  Webhook: new (secret: string) => Webhook;
};

export const SECRET = "whsec_c3VwYXF1ZXVlLXRlc3Qta2V5LTMyLWJ5dGVzLWxvbmc=";

/** Of the permissions that the platform grants, those that this function may use. */
export const PERMISSIONS: Deno.PermissionOptions = {
  env: true,
  net: ["127.0.0.1"],
  read: false,
  write: false,
  run: false,
  ffi: false,
  sys: false,
  import: false,
};

export type Handler = (request: Request) => Promise<Response>;

/** The npm package standardwebhooks, an independent implementation. */
export const webhook: Webhook = new standardwebhooks.Webhook(SECRET);

/** The handler that index.ts passes to Deno.serve. */
export async function serveFunction(): Promise<Handler> {
  const serve = Deno.serve;
  let handler: Handler | undefined;
  Deno.serve = ((given: Handler) => {
    handler = given;
  }) as unknown as typeof Deno.serve;
  try {
    await import("../../../supabase/functions/supaqueue/index.ts");
  } finally {
    Deno.serve = serve;
  }
  served ??= handler;
  if (served === undefined) {
    throw new Error("index.ts did not call Deno.serve with a handler");
  }
  return served;
}
let served: Handler | undefined;

export type Assignment = ReturnType<typeof assignment>;

// deno-lint-ignore no-explicit-any -- the function may send anything
export type Sent = { url: string; headers: Headers; body: string; json: any };

export interface Project extends AsyncDisposable {
  /** Pulses, in order. */
  pulses: Sent[];
  /** Calls of end_current_job, in order. */
  reports: Sent[];
  /** Calls of targets, in order. */
  calls: Sent[];
  /** Lines of the log. */
  log: string[];
  /** Sends a signed dispatch. */
  dispatch(assignments: Assignment[]): Promise<Response>;
  /** Sends a signed dispatch, and waits for the work passed to EdgeRuntime.waitUntil. */
  run(assignments: Assignment[]): Promise<void>;
  /** Resolves when all work passed to EdgeRuntime.waitUntil is done. */
  settled(): Promise<unknown>;
  /** Resolves when an event is logged. */
  logs(event: string): Promise<void>;
}

/** Starts a project in which `target` answers every call. */
export async function startProject(
  target: (sent: Sent) => Response | Promise<Response>,
  settings: Record<string, string> = {},
): Promise<Project> {
  const pulses: Sent[] = [], reports: Sent[] = [];
  const calls: Sent[] = [], log: string[] = [];
  const known = new Map<string, Assignment>();
  const work: Promise<unknown>[] = [];
  // Deno 2.1.4 may wait for idle connections for 90 s unless it is told to drop them.
  const stop = new AbortController();
  const gateway = Deno.serve(
    {
      hostname: "127.0.0.1",
      port: 0,
      signal: stop.signal,
      onListen: () => {},
    },
    async (request) => {
      const body = await request.text();
      const json = body === "" ? null : JSON.parse(body);
      const sent = { url: request.url, headers: request.headers, body, json };
      const { pathname } = new URL(request.url);
      if (pathname === "/rest/v1/rpc/supaqueue_pulse") {
        pulses.push(sent);
        const ids: string[] = json._request.acknowledge ?? [];
        const started = ids.map((id) => known.get(id));
        return Response.json({ accepted: true, lease_ms: 60_000, started });
      }
      if (pathname === "/rest/v1/rpc/end_current_job") {
        reports.push(sent);
        return Response.json({ accepted: true, state: "settled", next: null });
      }
      calls.push(sent);
      return await target(sent);
    },
  );
  const environment = {
    SUPAQUEUE_SECRET: SECRET,
    SUPABASE_URL: `http://127.0.0.1:${gateway.addr.port}`,
    SUPABASE_SERVICE_ROLE_KEY: "service.role.jwt",
    SUPAQUEUE_LOG_LEVEL: "debug",
    ...settings,
  };
  for (const [name, value] of Object.entries(environment)) {
    Deno.env.set(name, value);
  }
  const runtime = globalThis as { EdgeRuntime?: unknown };
  runtime.EdgeRuntime = {
    waitUntil(promise: unknown) {
      // The real one accepts only native promises.
      if (!(promise instanceof Promise)) throw new TypeError("not a promise");
      work.push(promise);
    },
  };
  const original = { ...console };
  for (const level of ["error", "warn", "info", "debug"] as const) {
    console[level] = (line: string) => log.push(line);
  }
  const handler = await serveFunction();
  const dispatch = (assignments: Assignment[]) => {
    for (const one of assignments) known.set(one.current_job.id, one);
    const current_jobs = assignments.map(({ current_job }) => ({
      current_job,
    }));
    return handler(signed(JSON.stringify({ protocol: 2, current_jobs })));
  };
  const settled = () => Promise.all(work);
  return {
    pulses,
    reports,
    calls,
    log,
    dispatch,
    settled,
    async logs(event) {
      while (!log.join().includes(event)) {
        await new Promise((wake) => setTimeout(wake, 5));
      }
    },
    async run(assignments) {
      await dispatch(assignments);
      await settled();
    },
    async [Symbol.asyncDispose]() {
      Object.assign(console, original);
      delete runtime.EdgeRuntime;
      for (const name of Object.keys(environment)) Deno.env.delete(name);
      stop.abort();
      await gateway.finished;
    },
  };
}

/** A request with this body, signed by standardwebhooks. */
export function signed(body: string): Request {
  const time = new Date();
  return new Request("http://127.0.0.1/supaqueue", {
    method: "POST",
    body,
    headers: {
      "content-type": "application/json",
      "webhook-id": "msg_1",
      "webhook-timestamp": String(Math.floor(time.getTime() / 1000)),
      "webhook-signature": webhook.sign("msg_1", time, body),
    },
  });
}

/** A current job with its job and its queue. */
export function assignment(payload: unknown, timeout_ms = 60_000) {
  return {
    current_job: { id: crypto.randomUUID() },
    job: {
      id: crypto.randomUUID(),
      payload,
      attempts: 1,
      headers: null,
      timeout_ms: null,
    },
    queue: {
      id: crypto.randomUUID(),
      name: "mail",
      edge_function_name: "send-mail",
      default_headers: { "x-from": "queue" },
      timeout_ms,
      auth: "service_role",
      final_statuses: [],
    },
  };
}
