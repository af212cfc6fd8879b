// Never answers, and says when it is called and when its caller hangs up.

Deno.serve((request) => {
  const job = request.headers.get("supaqueue-job-id");
  console.log(`${job} waits`);
  return new Promise<Response>((answer) => {
    request.signal.addEventListener("abort", () => {
      console.log(`${job} is aborted`);
      answer(new Response());
    });
  });
});
