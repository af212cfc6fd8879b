// deno-lint-ignore-file no-import-prefix -- as users write it

import { createClient } from "npm:@supabase/supabase-js@2";

const keys = JSON.parse(Deno.env.get("SUPABASE_SECRET_KEYS")!);
const supabase = createClient(Deno.env.get("SUPABASE_URL")!, keys.default);

Deno.serve(async (request) => {
  const { order, email } = await request.json();
  const { data, error } = await supabase.rpc("supaqueue_enqueue", {
    queue_name: "receipt",
    payload: { to: email, order },
    options: { key: request.headers.get("idempotency-key") },
  });
  // A status that is not 2xx: this job is retried.
  if (error) return Response.json(error, { status: 500 });
  return Response.json({ receipt: data.id });
});
