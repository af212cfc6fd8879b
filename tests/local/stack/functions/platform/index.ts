/** The name of the error that `attempt` throws. */
async function errorName(attempt: () => unknown) {
  try {
    await attempt();
    return "none";
  } catch (error) {
    return (error as Error).name;
  }
}

Deno.serve({ port: 80 }, async () =>
  Response.json({
    deno: Deno.version.deno,
    env: Deno.env.toObject(),
    own: await errorName(() =>
      Deno.readTextFile(new URL("own.txt", import.meta.url))
    ),
    other: await errorName(() => Deno.readTextFile("/etc/passwd")),
    write: await errorName(() =>
      Deno.writeTextFile(new URL("new.txt", import.meta.url), "")
    ),
    run: await errorName(() => new Deno.Command("true").output()),
    clocks: [
      Date.now(),
      new Date().getTime(),
      Date.parse(Date()),
      performance.timeOrigin + performance.now(),
    ],
    epoch: new Date(0).toISOString(),
  }));
