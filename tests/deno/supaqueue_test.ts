// index.ts and the module that it loads, in their real runtime.

import { assertEquals } from "./support/assert.ts";
import {
  assignment,
  PERMISSIONS,
  SECRET,
  serveFunction,
  signed,
  startProject,
  webhook,
} from "./support/project.ts";

const FOLDER = new URL("../../supabase/functions/supaqueue/", import.meta.url);

/** A test with the permissions that the platform grants. */
function test(name: string, fn: () => Promise<void>) {
  Deno.test({
    name: `supaqueue/${name}`,
    permissions: PERMISSIONS,
    // Connections to the gateway outlive a test; its timers do not (see below).
    sanitizeOps: false,
    sanitizeResources: false,
    fn,
  });
}

test("names its version and source hash", async () => {
  await using _ = await startProject(() => new Response());
  const handler = await serveFunction();
  const health = await (await handler(new Request("http://f/"))).json();
  const { sourceHash } = await import(
    "../../supabase/functions/supaqueue/supaqueue.js"
  );
  assertEquals(health.name, "supaqueue");
  assertEquals(/^\d+\.\d+\.\d+$/.test(health.version), true, "the version");
  assertEquals(health.hash, sourceHash);
  assertEquals(/^[0-9a-f]{16,}$/.test(sourceHash), true, "the hash");
});

test("names a missing setting", async () => {
  await using _ = await startProject(() => new Response());
  Deno.env.delete("SUPAQUEUE_SECRET");
  const handler = await serveFunction();
  const answer = await handler(new Request("http://f/"));
  assertEquals(answer.status, 500);
  assertEquals(await answer.json(), {
    code: "misconfigured",
    message: "Cannot start: SUPAQUEUE_SECRET is not set",
  });
});

test("runs the jobs of a dispatch in the background", async () => {
  let answer = (_: Response) => {};
  const held = new Promise<Response>((resolve) => answer = resolve);
  await using project = await startProject(() => held);
  const job = assignment({ n: 1, text: "ü€😀" });
  const accepted = await project.dispatch([job]);
  assertEquals(accepted.status, 202);
  assertEquals(await accepted.json(), { accepted: 1 });
  answer(Response.json({ sent: true }));
  await project.settled();

  const [pulse] = project.pulses;
  assertEquals(pulse.json._request.acknowledge, [job.current_job.id]);
  const [report] = project.reports;
  assertEquals(report.json.cur_job_id, job.current_job.id);
  assertEquals(report.json._is_successful, true);
  assertEquals(report.json._report.result, { sent: true });
  assertEquals(report.headers.get("apikey"), "service.role.jwt");
  const [call] = project.calls;
  assertEquals(new URL(call.url).pathname, "/functions/v1/send-mail");
  assertEquals(call.json, job.job.payload);
  assertEquals(call.headers.get("x-from"), "queue");
  assertEquals(call.headers.get("authorization"), "Bearer service.role.jwt");
  for (const line of project.log) JSON.parse(line);
  assertEquals(project.log.join().includes("call_succeeded"), true, "the log");
});

test("signs its calls so that standardwebhooks accepts them", async () => {
  const verified: unknown[] = [];
  await using project = await startProject((sent) => {
    const headers = Object.fromEntries(sent.headers);
    verified.push(webhook.verify(sent.body, headers));
    try {
      webhook.verify(sent.body + " ", headers);
    } catch {
      verified.push("another body is rejected");
    }
    return new Response();
  });
  await project.run([assignment({ a: "ü" })]);
  assertEquals(verified, [{ a: "ü" }, "another body is rejected"]);
});

test("rejects what standardwebhooks did not sign", async () => {
  await using project = await startProject(() => new Response());
  const handler = await serveFunction();
  const good = signed('{"protocol":2,"current_jobs":[]}');
  const other = new Request(good, {
    body: '{"protocol":2,"current_jobs":[ ]}',
  });
  assertEquals((await handler(other)).status, 401);
  assertEquals(project.pulses, [], "the pulses");
});

test("ends a call at its queue's timeout", async () => {
  let release = (_: Response) => {};
  const never = new Promise<Response>((resolve) => release = resolve);
  await using project = await startProject(() => never);
  await project.run([assignment({}, 50)]);
  release(new Response());
  const report = project.reports[0].json;
  assertEquals(report._is_successful, false);
  assertEquals(report._report.error, { message: "no answer within 50 ms" });
});

test("follows no redirect", async () => {
  await using project = await startProject(() =>
    new Response(null, { status: 307, headers: { location: "/elsewhere" } })
  );
  await project.run([assignment({})]);
  assertEquals(project.calls.length, 1, "the number of calls");
  assertEquals(project.reports[0].json._report.http_status, 307);
});

test("leaves no timer behind", async () => {
  await using project = await startProject(() => new Response());
  // Newer runtimes return an object.
  const timers = new Set<unknown>();
  const { setTimeout, clearTimeout } = globalThis;
  globalThis.setTimeout = ((work: () => void, ms: number) => {
    const timer: unknown = setTimeout(() => {
      timers.delete(timer);
      work();
    }, ms);
    timers.add(timer);
    return timer;
  }) as typeof setTimeout;
  globalThis.clearTimeout = ((timer: unknown) => {
    timers.delete(timer);
    clearTimeout(timer as number);
  }) as typeof clearTimeout;
  try {
    await project.run([assignment({}), assignment({}), assignment({})]);
  } finally {
    Object.assign(globalThis, { setTimeout, clearTimeout });
  }
  assertEquals(timers.size, 0);
});

test("logs that the gateway is unreachable", async () => {
  await using project = await startProject(() => new Response());
  const gone = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const there = Deno.env.get("SUPABASE_URL")!;
  Deno.env.set("SUPABASE_URL", `http://127.0.0.1:${gone.addr.port}`);
  gone.close();
  await project.dispatch([assignment({})]);
  await project.logs("database_not_reached");
  // So that the run ends before the next test: the gateway is back, at the address that was gone.
  const { port } = gone.addr;
  const target = (request: Request) =>
    fetch(there + new URL(request.url).pathname, {
      method: "POST",
      body: request.body,
    });
  await using _ = Deno.serve(
    { hostname: "127.0.0.1", port, onListen: () => {} },
    target,
  );
  await project.settled();
  assertEquals(project.reports.length, 1);
});

test("passes on the largest payload", async () => {
  await using project = await startProject(() => new Response());
  await project.run([assignment("x".repeat(5_000_000))]);
  assertEquals(project.calls[0].json.length, 5_000_000);
});

test("works without EdgeRuntime", async () => {
  await using project = await startProject(() => new Response());
  delete (globalThis as { EdgeRuntime?: unknown }).EdgeRuntime;
  assertEquals((await project.dispatch([assignment({})])).status, 202);
  await project.logs("lanes_ended");
  assertEquals(project.reports.length, 1);
});

// Must be the last one: index.ts never forgets this event.
test("takes no more jobs when the isolate is about to end", async () => {
  await using project = await startProject(() => new Response());
  await project.run([assignment({})]);
  dispatchEvent(new Event("beforeunload"));
  await project.run([assignment({})]);
  const asked = project.reports.map((sent) => "_next" in sent.json);
  assertEquals(asked, [true, false]);
});

Deno.test("supaqueue/imports nothing from outside its folder", () => {
  const files = [...Deno.readDirSync(FOLDER)].map((entry) => entry.name).sort();
  const modules = ["index.ts", "supaqueue.d.ts", "supaqueue.js"];
  assertEquals(files, ["deno.json", ...modules]);
  const read = (name: string) => Deno.readTextFileSync(new URL(name, FOLDER));
  assertEquals(JSON.parse(read("deno.json")), { imports: {} });
  for (const name of modules) {
    // Every syntax that names another module or file.
    const named = read(name).matchAll(
      /(?:\bfrom\s*|\bimport\s*\(?\s*|\brequire\s*\(\s*|\bnew URL\(\s*)["'`]([^"'`]*)["'`]/g,
    );
    for (const [text, specifier] of named) {
      assertEquals(/^\.\/[\w.]+$/.test(specifier), true, text);
      assertEquals(files.includes(specifier.slice(2)), true, text);
    }
  }
});

Deno.test("supaqueue/index.ts only loads the module and serves", () => {
  const text = Deno.readTextFileSync(new URL("index.ts", FOLDER));
  assertEquals(text.trimEnd().split("\n").length < 30, true, "under 30 lines");
  assertEquals(text.includes(SECRET), false);
});
