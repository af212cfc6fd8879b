// Runs the script given as argument, after defining the globals that it expects.
import { pathToFileURL } from "node:url";

globalThis.window = globalThis;
globalThis.global = globalThis;
await import(pathToFileURL(Deno.args[0]).href);
