// Posts to Slack that a job has ended.

Deno.serve(async (request) => {
  const { job } = await request.json();
  const answer = await fetch(Deno.env.get("SLACK_WEBHOOK_URL")!, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      text:
        `${job.queue}: ${job.status} after ${job.attempts} attempts: ${job.error} (${job.id})`,
    }),
  });
  return new Response(null, { status: answer.ok ? 200 : 502 });
});
