// Runs the script that is its argument where globals have the names that it expects.
import { pathToFileURL } from "node:url";

globalThis.window = globalThis;
globalThis.global = globalThis;
await import(pathToFileURL(Deno.args[0]).href);
