// The database's API and a target function, in a process of their own so that
// their work is not counted as the function's. Prints its port.
//
// How many jobs there are is said by POST /jobs: that many less one per lane
// are handed out with reports.

import { assignment } from "./dispatch.ts";

let left = 0;

const answers: Record<string, (body: string) => unknown> = {
  "/jobs": (body) => {
    left = Number(body);
    return {};
  },
  "/rest/v1/rpc/end_current_job": (body) => {
    const { _is_complete } = JSON.parse(body);
    if (!_is_complete) return { accepted: true, state: "started", next: null };
    const next = left > 0 ? assignment() : null;
    left -= 1;
    return { accepted: true, state: "settled", next };
  },
  "/functions/v1/target": (body) => ({ bytes: body.length }),
};

Deno.serve({
  hostname: "127.0.0.1",
  port: 0,
  onListen: ({ port }) => console.log(port),
}, async (request) => {
  const answer = answers[new URL(request.url).pathname];
  if (!answer) return new Response(null, { status: 404 });
  return Response.json(answer(await request.text()));
});
