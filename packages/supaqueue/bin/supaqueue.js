#!/usr/bin/env node
// Runs the program for this platform, which is in an optional dependency of this package.
import { spawn } from "node:child_process";
import { createRequire } from "node:module";

const name = `@supaqueue/${process.platform}-${process.arch}`;
const file = process.platform === "win32" ? "supaqueue.exe" : "supaqueue";

let program;
try {
  program = createRequire(import.meta.url).resolve(`${name}/bin/${file}`);
} catch {
  console.error(
    `supaqueue: cannot find the package ${name}. If your platform is supported, install again ` +
      "without --omit=optional; otherwise build the program from source.",
  );
  process.exit(1);
}

// How the program names itself in the commands that it prints: npm and npx set this variable.
const SUPAQUEUE_COMMAND = process.env.npm_command
  ? "npx supaqueue"
  : "supaqueue";
const child = spawn(program, process.argv.slice(2), {
  stdio: "inherit",
  env: { SUPAQUEUE_COMMAND, ...process.env },
});
// A terminal sends Ctrl-C to both processes; other signals reach only this one.
process.on("SIGINT", () => {});
for (const signal of ["SIGTERM", "SIGHUP"]) {
  process.on(signal, () => child.kill(signal));
}
child.on("error", (error) => {
  console.error(`supaqueue: cannot run ${program}: ${error.message}`);
  process.exit(1);
});
child.on("exit", (code, signal) => {
  if (signal) {
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  } else {
    process.exitCode = code;
  }
});
