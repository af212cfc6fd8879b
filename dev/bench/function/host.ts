// Runs a function in this process and prints one measurement as JSON.
// usage: host.ts MODULE first       milliseconds from import to first answer
//        host.ts MODULE cpu JOBS    milliseconds of CPU time per job

import { dispatch } from "./dispatch.ts";

type Handler = (request: Request) => Response | Promise<Response>;

const [module, measurement, jobs] = Deno.args;
const works: Promise<unknown>[] = [];
let handler: Handler | undefined;

Object.assign(globalThis, {
  EdgeRuntime: { waitUntil: (work: Promise<unknown>) => works.push(work) },
});
Deno.serve = ((serve: Handler) => {
  handler = serve;
}) as unknown as typeof Deno.serve;

async function answer(request: Request): Promise<void> {
  const response = await handler?.(request);
  if (response?.status !== 202) {
    throw new Error(`Cannot measure: ${module} answered ${response?.status}`);
  }
}

async function drain(jobs: number): Promise<void> {
  const workers = 20;
  const count = String(jobs - workers);
  const address = `${Deno.env.get("SUPABASE_URL")}/jobs`;
  await (await fetch(address, { method: "POST", body: count })).body?.cancel();
  await answer(await dispatch(workers));
  await Promise.all(works.splice(0));
}

/** The CPU time of all threads of this process so far, in milliseconds. */
function cpuTime(): number {
  // Fields 14 and 15 in proc(5), in hundredths of a second. Field 2 may contain spaces.
  const [, fields] = Deno.readTextFileSync("/proc/self/stat").split(") ");
  const [user, system] = fields.split(" ").slice(11, 13);
  return (Number(user) + Number(system)) * 10;
}

const request = await dispatch(1);
const start = performance.now();
await import(module);
await answer(request);
const first = performance.now() - start;
await Promise.all(works.splice(0));

if (measurement === "first") {
  console.log(JSON.stringify(first));
} else {
  // A warm-up: at first, the code of either function is not optimized yet.
  await drain(500);
  const before = cpuTime();
  await drain(Number(jobs));
  console.log(JSON.stringify((cpuTime() - before) / Number(jobs)));
}
Deno.exit();
