// Makes Deno behave as the edge runtime does for one function. Imported before the function.

const started = Deno.args[0];
const pending = new Set<Promise<unknown>>();

// The runtime listens where it likes, whatever port the function names.
const serve = Deno.serve.bind(Deno);
let isServing = false;
// deno-lint-ignore no-explicit-any
const edgeServe = (...args: any[]) => {
  const handler = args.find((arg) => typeof arg === "function") ??
    args.find((arg) => typeof arg?.handler === "function")?.handler;
  const options = args.find((arg) => typeof arg === "object" && arg !== null);
  if (typeof handler !== "function") {
    throw new TypeError("Cannot serve: no handler given");
  }
  if (isServing) {
    throw new Error("Cannot serve: Deno.serve was already called");
  }
  isServing = true;
  return serve({
    hostname: "127.0.0.1",
    port: 0,
    onError: options?.onError,
    onListen({ port, hostname }) {
      console.error(`${started} ${port}`);
      options?.onListen?.({ transport: "tcp", port, hostname });
    },
  }, handler);
};
Object.defineProperty(Deno, "serve", {
  value: edgeServe,
  configurable: true,
  writable: true,
});

// Work in the background keeps the isolate; a process is kept anyhow, until it is asked to end.
Object.defineProperty(globalThis, "EdgeRuntime", {
  value: {
    waitUntil<T>(promise: Promise<T>): Promise<T> {
      const forget = () => pending.delete(promise);
      pending.add(promise);
      promise.then(forget, forget);
      return promise;
    },
  },
  configurable: true,
});

Deno.addSignalListener("SIGTERM", async () => {
  dispatchEvent(
    new CustomEvent("beforeunload", { detail: { reason: "termination" } }),
  );
  while (pending.size > 0) {
    await Promise.allSettled([...pending]);
  }
  Deno.exit(0);
});
