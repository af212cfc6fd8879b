//! How the function is compiled. Every value here is part of its source hash.

/// The crate that becomes the WebAssembly.
pub(super) const CRATE: &str = "supaqueue-edge";
pub(super) const TARGET: &str = "wasm32-unknown-unknown";
pub(super) const PROFILE: &str = "wasm";

/// Arguments of wasm-opt: optimize for size, and which features it may use.
///
/// It inlines no large function, even one with a single caller: the caller would get so many local
/// variables that their numbers take two bytes each. And it may assume that no address is below
/// 1024, which is the end of the stack's megabyte, so that it can fold additions into addresses.
///
/// The features are the defaults of Rust's target, all of which the platform's V8 supports. wasm-opt
/// cannot detect them, because a stripped module no longer lists them.
pub(super) const WASM_OPT: [&str; 11] = [
    "-Oz",
    "--one-caller-inline-max-function-size=50",
    "--low-memory-unused",
    "--enable-bulk-memory",
    "--enable-nontrapping-float-to-int",
    "--enable-sign-ext",
    "--enable-mutable-globals",
    "--enable-reference-types",
    "--enable-multivalue",
    "--strip-debug",
    "--strip-producers",
];
