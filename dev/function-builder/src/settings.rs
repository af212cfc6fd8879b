//! How the function is compiled. Every value here is part of its source hash.

/// The crate that becomes the WebAssembly.
pub(super) const CRATE: &str = "supaqueue-edge";
pub(super) const TARGET: &str = "wasm32-unknown-unknown";
pub(super) const PROFILE: &str = "wasm";

/// Arguments of wasm-opt: optimize for size, and which features it may use.
///
/// The features are the defaults of Rust's target, all of which the platform's V8 supports. wasm-opt
/// cannot detect them, because a stripped module no longer lists them.
pub(super) const WASM_OPT: [&str; 9] = [
    "-Oz",
    "--enable-bulk-memory",
    "--enable-nontrapping-float-to-int",
    "--enable-sign-ext",
    "--enable-mutable-globals",
    "--enable-reference-types",
    "--enable-multivalue",
    "--strip-debug",
    "--strip-producers",
];
