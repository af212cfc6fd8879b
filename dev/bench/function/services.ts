// A stub of the database API and of a target function, in a separate process so
// that its CPU time is not counted. Prints its port.
//
// POST /jobs sets how many jobs the answers to reports hand out.

import { record } from "./dispatch.ts";

let left = 0;

const answers: Record<string, (body: string) => unknown> = {
  "/jobs": (body) => {
    left = Number(body);
    return {};
  },
  "/rest/v1/rpc/supaqueue_pulse": (body) => {
    const { acknowledge = [], queues = [] } = JSON.parse(body)._request;
    return {
      accepted: true,
      lease_ms: 60_000,
      started: acknowledge.map(record),
      cancelled: [],
      gone: [],
      queues: queues.map(({ id }: { id: string }) => ({
        id,
        again_in_ms: null,
      })),
    };
  },
  "/rest/v1/rpc/end_current_job": () => {
    const next = left > 0 ? record() : null;
    left -= 1;
    return {
      accepted: true,
      state: "settled",
      reason: null,
      next,
      again_in_ms: null,
    };
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
