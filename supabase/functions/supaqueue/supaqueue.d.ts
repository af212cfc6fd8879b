// Generated from crates/supaqueue-edge by ./scripts/build: do not edit.
// deno-fmt-ignore-file
// deno-lint-ignore-file
/* tslint:disable */
/* eslint-disable */

/** What the function needs from its runtime. */
export interface Platform {
    /** A hash of the module's sources, for the health reply. */
    readonly sourceHash: string;
    /** When the isolate started, in milliseconds since the epoch. */
    readonly startedAt: number;
    /** Whether the isolate is about to end. */
    isEnding(): boolean;
    /** An environment variable. */
    env(name: string): string | undefined;
    /** Milliseconds since the epoch, by a clock that is never set back. */
    now(): number;
    /** Sixteen random bytes. */
    random(): Uint8Array;
    /** Calls `work` after this many milliseconds. Returns the timer, which newer runtimes make an object. */
    after(ms: number, work: () => void): unknown;
    /** Forgets what `after` was to call. */
    forget(timer: unknown): void;
    /** The `fetch` of the web. */
    fetch(url: string, init: RequestInit): Promise<Response>;
    /** Writes a line to the log. */
    log(level: 'error' | 'warn' | 'info' | 'debug', line: string): void;
    /** Keeps the isolate alive until the work is done. */
    waitUntil(work: Promise<unknown>): void;
}



/**
 * Replies to a request. The jobs of a dispatch run in the background, after the reply.
 *
 * # Errors
 * If the runtime cannot make a response.
 */
export function handle(request: Request, platform: Platform): Promise<Response>;

export type InitInput = RequestInfo | URL | Response | BufferSource | WebAssembly.Module;

export interface InitOutput {
    readonly memory: WebAssembly.Memory;
    readonly handle: (a: number, b: number) => number;
    readonly __wasm_bindgen_func_elem_953: (a: number, b: number, c: number, d: number) => void;
    readonly __wasm_bindgen_func_elem_975: (a: number, b: number, c: number, d: number) => void;
    readonly __wasm_bindgen_func_elem_111: (a: number, b: number) => void;
    readonly __wbindgen_export: (a: number, b: number) => number;
    readonly __wbindgen_export2: (a: number, b: number, c: number, d: number) => number;
    readonly __wbindgen_export3: (a: number) => void;
    readonly __wbindgen_export4: (a: number, b: number) => void;
    readonly __wbindgen_add_to_stack_pointer: (a: number) => number;
}

export type SyncInitInput = BufferSource | WebAssembly.Module;

/**
 * Instantiates the given `module`, which can either be bytes or
 * a precompiled `WebAssembly.Module`.
 *
 * @param {{ module: SyncInitInput }} module - Passing `SyncInitInput` directly is deprecated.
 *
 * @returns {InitOutput}
 */
export function initSync(module: { module: SyncInitInput } | SyncInitInput): InitOutput;

/**
 * If `module_or_path` is {RequestInfo} or {URL}, makes a request and
 * for everything else, calls `WebAssembly.instantiate` directly.
 *
 * @param {{ module_or_path: InitInput | Promise<InitInput> }} module_or_path - Passing `InitInput` directly is deprecated.
 *
 * @returns {Promise<InitOutput>}
 */
export default function __wbg_init (module_or_path: { module_or_path: InitInput | Promise<InitInput> } | InitInput | Promise<InitInput>): Promise<InitOutput>;

/** The hash of the sources that this module was built from. */
export const sourceHash: string;
