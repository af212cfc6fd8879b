// Takes as long as the payload says, and counts each queue's calls: in the log when one starts, and
// in the answer.

const calls = new Map<string, { total: number; inFlight: number }>();

Deno.serve(async (request) => {
  const { ms } = await request.json();
  const queue = request.headers.get("supaqueue-queue") ?? "";
  const job = request.headers.get("supaqueue-job-id");
  const count = calls.get(queue) ?? { total: 0, inFlight: 0 };
  calls.set(queue, count);
  count.total += 1;
  count.inFlight += 1;
  const call = count.total;
  console.log(JSON.stringify({ queue, job, call, in_flight: count.inFlight }));
  await new Promise((resolve) => setTimeout(resolve, ms));
  count.inFlight -= 1;
  return Response.json({ call });
});
