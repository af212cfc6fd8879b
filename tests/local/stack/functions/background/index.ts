const runtime = globalThis as unknown as {
  EdgeRuntime: { waitUntil(work: Promise<unknown>): void };
};
const unloaded = new Promise<void>((resolve) => {
  addEventListener("beforeunload", (event) => {
    const { reason } = (event as CustomEvent<{ reason: string }>).detail;
    console.log(`unload: ${reason}`);
    resolve();
  });
});

Deno.serve(() => {
  runtime.EdgeRuntime.waitUntil(
    unloaded.then(() => new Promise((wake) => setTimeout(wake, 300)))
      .then(() => console.log("background work is done")),
  );
  return new Response("accepted", { status: 202 });
});
