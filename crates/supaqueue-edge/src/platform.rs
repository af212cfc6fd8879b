//! Everything from outside, as one object: time, randomness, the environment and
//! the network. `index.ts` implements it with Deno, the tests with scripts.

use js_sys::{Promise, Uint8Array};
use supaqueue_core::log::Entry;
use supaqueue_core::time::Timestamp;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::{Closure, wasm_bindgen};

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
    pub(crate) fn after(this: &Platform, ms: f64, work: &Closure<dyn FnMut()>) -> JsValue;

    #[wasm_bindgen(method)]
    pub(crate) fn forget(this: &Platform, timer: &JsValue);

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

    pub(crate) fn random_bits(&self) -> u128 {
        let mut bits = 0;
        for byte in self.random().to_vec() {
            bits = bits << 8 | u128::from(byte);
        }
        bits
    }

    pub(crate) fn write(&self, entry: &Entry) {
        self.log(entry.level.name(), &entry.line());
    }
}
