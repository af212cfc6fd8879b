//! Any inbound request. `tests/core/inbound.rs` runs the corpus, and some random
//! requests, without a fuzzer.

#![no_main]

#[path = "../src/request.rs"]
mod request;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    request::check(input);
});
