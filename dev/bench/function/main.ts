// Compares the supaqueue function with the same work in plain TypeScript.

import { secret } from "./dispatch.ts";

const here = new URL(".", import.meta.url);
const functions = {
  wasm: new URL("../../../supabase/functions/supaqueue/index.ts", here),
  typescript: new URL("reference.ts", here),
};
type Name = keyof typeof functions;
// `quick` only shows that the benchmark works.
const [startRuns, cpuRuns, jobs] = Deno.args.includes("quick")
  ? [1, 1, 100]
  : [21, 9, 3000];

const services = new Deno.Command(Deno.execPath(), {
  args: ["run", "--allow-net=127.0.0.1", new URL("services.ts", here).pathname],
  stdout: "piped",
}).spawn();
const port = await firstLine(services.stdout);

async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    return text.trim();
  }
  throw new Error("Cannot measure: services.ts did not start");
}

async function host(name: Name, ...words: string[]): Promise<number> {
  const { success, stdout } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--no-check",
      // Deno requires all permissions to read /proc.
      "--allow-all",
      new URL("host.ts", here).pathname,
      functions[name].href,
      ...words,
    ],
    env: {
      SUPAQUEUE_SECRET: secret,
      SUPABASE_URL: `http://127.0.0.1:${port}`,
      SUPABASE_SERVICE_ROLE_KEY: "header.payload.signature",
      SUPABASE_ANON_KEY: "header.payload.signature",
      SUPAQUEUE_JOBS_PER_RUN: "1000000",
      SUPAQUEUE_LOG_LEVEL: "error",
    },
    stderr: "inherit",
  }).output();
  if (!success) throw new Error(`Cannot measure: ${name} failed`);
  return JSON.parse(new TextDecoder().decode(stdout));
}

interface Comparison {
  wasm: number;
  typescript: number;
  ratio: number;
}

/** Medians of pairs of runs. A pair runs back to back, so that noise affects both. */
async function compare(runs: number, ...words: string[]): Promise<Comparison> {
  const pairs: Comparison[] = [];
  // The first pair does not count, because Deno compiles TypeScript once and caches it.
  for (let run = -1; run < runs; run++) {
    const wasm = await host("wasm", ...words);
    const typescript = await host("typescript", ...words);
    if (run >= 0) pairs.push({ wasm, typescript, ratio: wasm / typescript });
  }
  const median = (of: keyof Comparison) =>
    pairs.map((pair) => pair[of]).sort((a, b) => a - b)[runs >> 1];
  return {
    wasm: median("wasm"),
    typescript: median("typescript"),
    ratio: median("ratio"),
  };
}

/** The size in bytes, uncompressed and gzipped. */
async function sizes(content: Blob) {
  const stream = content.stream().pipeThrough(new CompressionStream("gzip"));
  const gzipped = (await new Response(stream).arrayBuffer()).byteLength;
  return { raw: content.size, gzipped };
}

function against(wasm: number, typescript: number): Comparison {
  return { wasm, typescript, ratio: wasm / typescript };
}

function row(
  name: string,
  { wasm, typescript, ratio }: Comparison,
  limit = "",
) {
  const cells = [wasm, typescript].map((n) =>
    n.toFixed(n < 10 ? 3 : n < 1000 ? 1 : 0).padStart(12)
  );
  const last = `${ratio.toFixed(2).padStart(8)}   ${limit}`;
  console.log(`${name.padEnd(38)}${cells.join("")}${last}`.trimEnd());
}

try {
  const { deno, v8 } = Deno.version;
  console.log(`Deno ${deno}, V8 ${v8}, ${Deno.build.target}`);
  console.log(
    `medians of ${startRuns} starts, and of ${cpuRuns} runs of ${jobs} jobs\n`,
  );
  const [a, b, c] = ["WebAssembly", "TypeScript", "ratio"];
  console.log(
    `${"".padEnd(38)}${a.padStart(12)}${b.padStart(12)}${c.padStart(8)}`,
  );

  const start = await compare(startRuns, "first");
  const more = (start.wasm - start.typescript).toFixed(1);
  row("import to first answer, ms", start, `${more} ms more; limit 15`);

  if (Deno.build.os === "linux") {
    const cpu = await compare(cpuRuns, "cpu", String(jobs));
    row("CPU time per job, ms", cpu, "limit 0.90");
  } else {
    console.log("CPU time per job is only measured on Linux, from /proc");
  }

  const module = await Deno.readTextFile(
    new URL("supaqueue.js", functions.wasm),
  );
  const base64 = /decode\("([^"]+)"\)/.exec(module);
  if (!base64) {
    throw new Error("Cannot measure: supaqueue.js contains no WebAssembly");
  }
  const bytes = Uint8Array.from(atob(base64[1]), (c) => c.charCodeAt(0));
  const wasm = await sizes(new Blob([bytes]));
  const script = await sizes(new Blob([module]));
  const source = await Deno.readTextFile(functions.typescript);
  const reference = await sizes(new Blob([source]));
  row("WebAssembly, bytes", against(wasm.raw, reference.raw));
  row("  gzipped", against(wasm.gzipped, reference.gzipped));
  row("module that contains it, bytes", against(script.raw, reference.raw));
  row("  gzipped", against(script.gzipped, reference.gzipped));
} finally {
  services.kill();
  await services.status;
}
