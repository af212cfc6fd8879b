//! Everything from outside, as one object: time, randomness, the environment and
//! the network. `index.ts` implements it with Deno, the tests with scripts.

use js_sys::{Promise, Uint8Array};
use supaqueue_core::log::Entry;
use supaqueue_core::time::Timestamp;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::AbortSignal;

#[wasm_bindgen(typescript_custom_section)]
const TYPE: &str = r"
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
";

#[wasm_bindgen]
extern "C" {
    /// The runtime; the type above describes its methods.
    #[wasm_bindgen(typescript_type = "Platform")]
    pub type Platform;

    #[wasm_bindgen(method, getter, js_name = sourceHash)]
    pub(crate) fn source_hash(this: &Platform) -> String;

    #[wasm_bindgen(method, getter, js_name = startedAt)]
    fn started_at_ms(this: &Platform) -> f64;

    #[wasm_bindgen(method, js_name = isEnding)]
    pub(crate) fn is_ending(this: &Platform) -> bool;

    #[wasm_bindgen(method)]
    pub(crate) fn env(this: &Platform, name: &str) -> Option<String>;

    #[wasm_bindgen(method)]
    fn now(this: &Platform) -> f64;

    #[wasm_bindgen(method)]
    fn random(this: &Platform) -> Uint8Array;

    #[wasm_bindgen(method)]
    pub(crate) fn sleep(this: &Platform, ms: f64) -> Promise;

    #[wasm_bindgen(method)]
    pub(crate) fn timeout(this: &Platform, ms: f64) -> AbortSignal;

    #[wasm_bindgen(method, catch)]
    pub(crate) fn fetch(this: &Platform, url: &str, init: &JsValue) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method)]
    fn log(this: &Platform, level: &str, line: &str);

    #[wasm_bindgen(method, js_name = waitUntil)]
    pub(crate) fn wait_until(this: &Platform, work: &Promise);
}

impl Platform {
    pub(crate) fn timestamp(&self) -> Timestamp {
        Timestamp::from_ms(self.now() as u64)
    }

    pub(crate) fn started_at(&self) -> Timestamp {
        Timestamp::from_ms(self.started_at_ms() as u64)
    }

    pub(crate) fn random_bytes(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        let random = self.random();
        // copy_to panics if the lengths differ.
        random
            .slice(0, 16)
            .to_vec()
            .into_iter()
            .zip(&mut bytes)
            .for_each(|(from, to)| *to = from);
        bytes
    }

    pub(crate) fn random_u64(&self) -> u64 {
        u128::from_be_bytes(self.random_bytes()) as u64
    }

    pub(crate) fn write(&self, entry: &Entry) {
        self.log(entry.level.name(), &entry.line());
    }
}
