// A worker of graphile-worker. With the argument `batched` it fetches and completes jobs together, as its
// documentation recommends for a busy queue.

import { call, connectionString, places, untilTheEnd } from "./worker.ts";

// Imported by a variable: the types of all scripts are checked, but this package is only installed for
// the benchmark.
const name = "graphile-worker";
const { run } = await import(name);

const batched = {
  localQueue: { size: places + 1 },
  completeJobBatchDelay: 0,
  failJobBatchDelay: 0,
};

await run({
  preset: {
    worker: {
      connectionString,
      concurrentJobs: places,
      maxPoolSize: places + 1,
      ...(Deno.args.includes("batched") ? batched : {}),
    },
  },
  noHandleSignals: true,
  taskList: { call },
});
await untilTheEnd();
