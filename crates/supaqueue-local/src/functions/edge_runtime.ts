// Makes Deno behave like the edge runtime. Imported before the function.

const listening = Deno.args[0];
const [wallClock, deadline, clockOffset] = Deno.args.slice(1).map(Number);
/** Background work, and requests whose response is incomplete. */
const pending = new Set<Promise<unknown>>();

function track(work: Promise<unknown>) {
  const untrack = () => pending.delete(work);
  pending.add(work);
  work.then(untrack, untrack);
}

// The host chooses where to listen, not the function.
const serve = Deno.serve.bind(Deno);
let isServing = false;
// deno-lint-ignore no-explicit-any
const edgeServe = (...args: any[]) => {
  const options = args.find((arg) => typeof arg === "object" && arg !== null);
  const handler: Deno.ServeHandler | undefined =
    args.find((arg) => typeof arg === "function") ?? options?.handler;
  if (typeof handler !== "function") {
    throw new TypeError("Cannot serve: no handler was given");
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
      console.error(`${listening} ${port}`);
      options?.onListen?.({ transport: "tcp", port, hostname });
    },
  }, (request, info) => {
    track(info.completed);
    return handler(request, info);
  });
};
Object.defineProperty(Deno, "serve", {
  value: edgeServe,
  configurable: true,
  writable: true,
});

Object.defineProperty(globalThis, "EdgeRuntime", {
  value: {
    waitUntil<T>(promise: Promise<T>): Promise<T> {
      track(promise);
      return promise;
    },
  },
  configurable: true,
});

/** Exits after a second without work, because a request may be on its way. */
async function exitWhenIdle() {
  let idleSince = Date.now();
  while (Date.now() - idleSince < 1000) {
    if (pending.size > 0) {
      await Promise.allSettled([...pending]);
      idleSince = Date.now();
    }
    await new Promise((wake) => setTimeout(wake, 100));
  }
  unload("early_drop");
  Deno.exit(0);
}

function unload(reason: string) {
  dispatchEvent(new CustomEvent("beforeunload", { detail: { reason } }));
}

Deno.addSignalListener("SIGUSR2", exitWhenIdle);
Deno.addSignalListener("SIGTERM", async () => {
  unload("termination");
  while (pending.size > 0) {
    await Promise.allSettled([...pending]);
  }
  Deno.exit(0);
});

// The host kills the process at the deadline.
Deno.unrefTimer(setTimeout(() => {
  if (pending.size > 0) {
    console.error(
      `busy at 90 % of the wall clock limit (${wallClock} ms): will be killed`,
    );
  }
  unload("wall_clock");
}, deadline - wallClock * 0.1 - Date.now()));

// Last, because the code above uses the host's clock.
if (clockOffset !== 0) {
  const realNow = Date.now;
  const now = () => realNow() + clockOffset;
  globalThis.Date = new Proxy(Date, {
    construct: (date, args, target) =>
      Reflect.construct(date, args.length > 0 ? args : [now()], target),
    apply: (date) => new date(now()).toString(),
    get: (date, key) => key === "now" ? now : Reflect.get(date, key),
  });
  const { timeOrigin } = performance;
  Object.defineProperty(performance, "timeOrigin", {
    value: timeOrigin + clockOffset,
    configurable: true,
  });
}
