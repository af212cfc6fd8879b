#!/usr/bin/env node
// Runs the program for this platform, which is in an optional dependency of this package.
import { spawn } from "node:child_process";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const { optionalDependencies } = require("../package.json");

function fail(message) {
  console.error(`supaqueue: ${message}`);
  process.exit(1);
}

/** Whether this is Alpine Linux, or another Linux with musl instead of glibc. */
function isMusl() {
  if (process.platform !== "linux" || !process.report) {
    return false;
  }
  // Otherwise the report contains the names of connected hosts, which can take seconds to look up.
  process.report.excludeNetwork = true;
  return !process.report.getReport().header.glibcVersionRuntime;
}

const libc = isMusl() ? "-musl" : "";
const platform = `${process.platform}-${process.arch}${libc}`;
const name = `@supaqueue/${platform}`;
if (!(name in optionalDependencies)) {
  const supported = Object.keys(optionalDependencies)
    .map((name) => name.replace("@supaqueue/", ""));
  fail(
    `there is no program for ${platform}, only for ${supported.join(", ")}. ` +
      "To build it from source: https://github.com/supaqueue/supaqueue#install",
  );
}
const file = process.platform === "win32" ? "supaqueue.exe" : "supaqueue";

let program;
try {
  program = require.resolve(`${name}/bin/${file}`);
} catch {
  fail(
    `cannot find the package ${name}, an optional dependency of supaqueue. ` +
      "Install again without --omit=optional. If it is still missing, delete node_modules and " +
      "the lock file first: it may have been written on another platform.",
  );
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
child.on("error", (error) => fail(`cannot run ${program}: ${error.message}`));
child.on("exit", (code, signal) => {
  if (signal) {
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  } else {
    process.exitCode = code;
  }
});
