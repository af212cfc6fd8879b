// deno-lint-ignore-file no-import-prefix -- as users write it

import { createClient } from "npm:@supabase/supabase-js@2";

const keys = JSON.parse(Deno.env.get("SUPABASE_SECRET_KEYS")!);
const supabase = createClient(Deno.env.get("SUPABASE_URL")!, keys.default);

Deno.serve(async (request) => {
  const { email } = await request.json();
  const { data, error } = await supabase.rpc("supaqueue_enqueue", {
    queue_name: "send-email",
    payload: { to: email },
    options: { key: `welcome ${email}` },
  });
  if (error) return Response.json(error, { status: 500 });
  return Response.json({ job: data.id, outcome: data.outcome });
});
