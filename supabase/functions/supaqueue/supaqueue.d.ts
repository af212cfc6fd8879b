// Generated from crates/supaqueue-edge by ./scripts/build: do not edit.
// deno-fmt-ignore-file
// deno-lint-ignore-file

/** The hash of the sources that the module was built from. */
export const sourceHash: string;

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
    /** Milliseconds since the epoch. */
    now(): number;
    /** Sixteen random bytes. */
    random(): Uint8Array;
    /** Resolves after this many milliseconds. */
    sleep(ms: number): Promise<unknown>;
    /** Aborts after this many milliseconds. */
    timeout(ms: number): AbortSignal;
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
