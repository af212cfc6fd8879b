// A worker of pg-boss, which a new job wakes. The batches are small: a worker that gets a full batch of
// several jobs fetches the next one at once, but a job waits for the others of its batch.

import { call, connectionString, places, untilTheEnd } from "./worker.ts";

// Imported by a variable: the types of all scripts are checked, but this package is only installed for
// the benchmark.
const name = "pg-boss";
const { PgBoss } = await import(name);

interface Job {
  id: string;
  data: unknown;
}

const boss = new PgBoss({ connectionString, useListenNotify: true });
boss.on("error", console.error);
await boss.start();
await boss.createQueue("call", { notify: true });

// Batches of two when ten calls are in flight, of five when fifty are.
const batchSize = Math.max(2, places / 10);
await boss.work(
  "call",
  {
    batchSize,
    localConcurrency: places / batchSize,
    burstWhenBatchFull: true,
    perJobResults: true,
  },
  (jobs: Job[]) =>
    Promise.all(jobs.map(async ({ id, data }) => {
      await call(data);
      return { id, status: "completed" };
    })),
);
await untilTheEnd();
