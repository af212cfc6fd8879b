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
    // The timers of AbortSignal.timeout outlive calls that end in time.
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

  const [acknowledgement, report] = project.rpcs;
  assertEquals(acknowledgement.json._is_complete, false);
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
  const good = signed('{"current_jobs":[]}');
  const other = new Request(good, { body: '{"current_jobs":[ ]}' });
  assertEquals((await handler(other)).status, 401);
  assertEquals(project.rpcs, [], "the calls of end_current_job");
});

test("ends a call at its queue's timeout", async () => {
  let release = (_: Response) => {};
  const never = new Promise<Response>((resolve) => release = resolve);
  await using project = await startProject(() => never);
  await project.run([assignment({}, 50)]);
  release(new Response());
  const report = project.rpcs[1].json;
  assertEquals(report._is_successful, false);
  assertEquals(report._report.error, { message: "no answer within 50 ms" });
});

test("follows no redirect", async () => {
  await using project = await startProject(() =>
    new Response(null, { status: 307, headers: { location: "/elsewhere" } })
  );
  await project.run([assignment({})]);
  assertEquals(project.calls.length, 1, "the number of calls");
  assertEquals(project.rpcs[1].json._report.http_status, 307);
});

test("logs that the gateway is unreachable", async () => {
  await using project = await startProject(() => new Response());
  const gone = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const job = assignment({});
  job.current_job.lease_until = job.current_job.created_at;
  Deno.env.set("SUPABASE_URL", `http://127.0.0.1:${gone.addr.port}`);
  gone.close();
  await project.run([job]);
  assertEquals(project.log.join().includes("database_not_reached"), true);
});

test("accepts the largest dispatch, and no larger one", async () => {
  await using project = await startProject(() => new Response());
  await project.run([assignment("x".repeat(5_000_000))]);
  assertEquals(project.calls[0].json.length, 5_000_000);
  const large = await project.dispatch([assignment("x".repeat(6_000_000))]);
  assertEquals(large.status, 413);
});

test("works without EdgeRuntime", async () => {
  await using project = await startProject(() => new Response(), {
    // The lane logs its last line after the test has ended.
    SUPAQUEUE_LOG_LEVEL: "error",
  });
  delete (globalThis as { EdgeRuntime?: unknown }).EdgeRuntime;
  assertEquals((await project.dispatch([assignment({})])).status, 202);
  await project.reported;
});

// Must be the last one: index.ts never forgets this event.
test("takes no more jobs when the isolate is about to end", async () => {
  await using project = await startProject(() => new Response());
  await project.run([assignment({})]);
  dispatchEvent(new Event("beforeunload"));
  await project.run([assignment({})]);
  const asked = project.rpcs.filter((sent) => sent.json._is_complete)
    .map((sent) => sent.json._next_within_ms !== null);
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
