// What the compared workers have in common.

/** The address of the database. */
export const connectionString = variable("DATABASE_URL");
/** How many calls may be in flight. */
export const places = Number(variable("PLACES"));

const target = variable("TARGET_URL");
const headers = {
  authorization: `Bearer ${variable("TARGET_KEY")}`,
  "content-type": "application/json",
};

function variable(name: string): string {
  const value = Deno.env.get(name);
  if (!value) throw new Error(`Cannot start: ${name} is not set`);
  return value;
}

/** Calls the target with a job's payload. */
export async function call(payload: unknown): Promise<void> {
  const body = JSON.stringify(payload);
  const response = await fetch(target, { method: "POST", headers, body });
  const text = await response.text();
  if (!response.ok) {
    throw new Error(`Cannot call the target: ${response.status} ${text}`);
  }
}

/** Tells the benchmark that the worker waits for jobs, and ends when the benchmark does. */
export async function untilTheEnd(): Promise<never> {
  console.log("ready");
  await Deno.stdin.readable.pipeTo(new WritableStream());
  Deno.exit();
}
