// Makes the calls that it reads from stdin, with supabase-js, and prints the answers.
// deno-lint-ignore-file no-process-global -- runs in Node and Deno

import { createClient } from "@supabase/supabase-js";

const { SUPABASE_URL, SUPABASE_SECRET_KEY, USER_TOKEN } = process.env;
const headers = USER_TOKEN ? { Authorization: `Bearer ${USER_TOKEN}` } : {};
const supabase = createClient(SUPABASE_URL, SUPABASE_SECRET_KEY, {
  global: { headers },
});
let input = "";
for await (const chunk of process.stdin.setEncoding("utf8")) input += chunk;
const answers = [];
for (const call of JSON.parse(input)) {
  const client = supabase.schema(call.schema ?? "public");
  answers.push(
    await (call.insert
      ? client.from(call.table).insert(call.insert)
      : client.rpc(call.rpc, call.arguments)),
  );
}
console.log(JSON.stringify(answers));
