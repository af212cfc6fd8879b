// deno-lint-ignore-file no-import-prefix -- as users write it

// Supaqueue's metrics, for a scraper that knows METRICS_SECRET.

import { createClient } from "npm:@supabase/supabase-js@2";

const secret = Deno.env.get("METRICS_SECRET");
const keys = JSON.parse(Deno.env.get("SUPABASE_SECRET_KEYS")!);
const supabase = createClient(Deno.env.get("SUPABASE_URL")!, keys.default);

Deno.serve(async (request) => {
  if (!secret || request.headers.get("authorization") !== `Bearer ${secret}`) {
    return new Response("not allowed", { status: 401 });
  }
  const { data, error } = await supabase.rpc("supaqueue_metrics");
  if (error) return Response.json(error, { status: 500 });
  const type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
  return new Response(data, { headers: { "content-type": type } });
});
