// deno-lint-ignore-file no-process-global -- as users write it

import { createClient } from "@supabase/supabase-js";

const supabase = createClient(
  process.env.SUPABASE_URL,
  process.env.SUPABASE_SECRET_KEY,
);

/** Enqueues a report for each customer, all or none; returns the jobs' ids. */
export async function enqueueReports(customers) {
  const { data, error } = await supabase.rpc("supaqueue_enqueue_many", {
    queue_name: "report",
    jobs: customers.map((customer) => ({
      payload: { customer },
      priority: 10,
      run_at: new Date(Date.now() + 60_000),
    })),
  });
  if (error) throw new Error(error.message, { cause: error });
  return data.map((job) => job.id);
}
