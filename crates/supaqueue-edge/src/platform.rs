//! The seam between the function and the world: time, randomness, the
//! environment and the network come through one object, which `index.ts` makes
//! of Deno and the tests of what they script.

use js_sys::{Promise, Uint8Array};
use supaqueue_core::log::Entry;
use supaqueue_core::time::Timestamp;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::AbortSignal;

#[wasm_bindgen(typescript_custom_section)]
const TYPE: &str = r"
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
";

#[wasm_bindgen]
extern "C" {
    /// The place that the function runs in: its methods are described in the type above.
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
        // copy_to panics where the lengths differ.
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
