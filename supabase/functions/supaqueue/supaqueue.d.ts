// Generated from crates/supaqueue-edge by ./scripts/build: do not edit.
// deno-fmt-ignore-file
// deno-lint-ignore-file

/** The hash of the sources that the module was built from. */
export const sourceHash: string;

/** What the function needs of the place that it runs in. */
export interface Platform {
    /** A hash of the module's sources, for the health answer. */
    readonly sourceHash: string;
    /** When the isolate was started, in milliseconds since the epoch. */
    readonly startedAt: number;
    /** Whether the isolate is about to be ended. */
    isEnding(): boolean;
    /** A variable of the environment. */
    env(name: string): string | undefined;
    /** Milliseconds since the epoch. */
    now(): number;
    /** Sixteen random bytes. */
    random(): Uint8Array;
    /** Resolves after so many milliseconds. */
    sleep(ms: number): Promise<unknown>;
    /** Is aborted after so many milliseconds. */
    timeout(ms: number): AbortSignal;
    /** Calls a URL. */
    fetch(url: string, init: RequestInit): Promise<Response>;
    /** Writes a line to the log. */
    log(level: 'error' | 'warn' | 'info' | 'debug', line: string): void;
    /** Keeps the isolate until the work is done. */
    waitUntil(work: Promise<unknown>): void;
}



/**
 * Answers a request. What a dispatch asks for goes on in the background after the answer.
 */
export function handle(request: Request, platform: Platform): Promise<Response>;
