//! One JavaScript module that holds the WebAssembly and loads it.
//!
//! The bytes are in the text because the platform's bundler keeps no other files,
//! and are loaded as the module is, so that `handle` is there at once.

use anyhow::{Context, Result, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};

use super::compile::Glue;

pub(super) const SCRIPT: &str = "supaqueue.js";
const TYPES: &str = "supaqueue.d.ts";

/// What stands before and after wasm-bindgen's glue.
///
/// The platform's V8 has no `Uint8Array.fromBase64`. The loop is in a function because
/// at the top of a module it takes twice the time, and `Uint8Array.from` six times.
pub(super) const LAYOUT: &str = r#"// Generated from crates/supaqueue-edge by ./scripts/build: do not edit.
// deno-fmt-ignore-file
// deno-lint-ignore-file
// @ts-self-types="./supaqueue.d.ts"

/** The hash of the sources that this was built from. */
export const sourceHash = "«hash»";

«glue»

function decode(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

const code = new WebAssembly.Module(decode("«bytes»"));
__wbg_finalize_init(new WebAssembly.Instance(code, __wbg_get_imports()));
"#;

const LAYOUT_OF_TYPES: &str = r#"// Generated from crates/supaqueue-edge by ./scripts/build: do not edit.
// deno-fmt-ignore-file
// deno-lint-ignore-file

/** The hash of the sources that the module was built from. */
export const sourceHash: string;

«types»
"#;

/// The generated files' texts.
pub(super) struct Module {
    script: String,
    types: String,
}

impl Module {
    pub(super) fn new(glue: &Glue, hash: &str) -> Result<Self> {
        // wasm-bindgen's own ways to load WebAssembly come last: from an address, for browsers.
        let functions = before(&glue.script, "async function __wbg_load(")?;
        let functions = functions.replacen("/* @ts-self-types=\"./supaqueue_edge.d.ts\" */", "", 1);
        ensure!(
            !functions.contains("import.meta") && !functions.contains("@ts-self-types"),
            "the glue of wasm-bindgen has changed: see {}",
            file!()
        );
        let types = before(&glue.types, "export type InitInput")?;
        let types = types.replacen("/* tslint:disable */\n/* eslint-disable */\n", "", 1);
        let script = LAYOUT
            .replacen("«hash»", hash, 1)
            .replacen("«glue»", functions.trim(), 1)
            // The last, so that nothing is looked for in it.
            .replacen("«bytes»", &STANDARD.encode(&glue.wasm), 1);
        let types = LAYOUT_OF_TYPES.replacen("«types»", types.trim(), 1);
        Ok(Self { script, types })
    }

    /// Names and texts.
    pub(super) fn files(&self) -> [(&'static str, &str); 2] {
        [(SCRIPT, &self.script), (TYPES, &self.types)]
    }
}

fn before<'a>(text: &'a str, marker: &str) -> Result<&'a str> {
    let (before, _) = text
        .split_once(marker)
        .with_context(|| format!("wasm-bindgen no longer writes `{marker}`: see {}", file!()))?;
    Ok(before)
}

/// The hash that a module says it was built from.
pub(super) fn source_hash(script: &str) -> Option<&str> {
    let (_, rest) = script.split_once("export const sourceHash = \"")?;
    rest.split_once('"').map(|(hash, _)| hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_loads_itself_and_knows_its_hash() {
        let glue = Glue {
            wasm: b"\0asm".to_vec(),
            script: "export function handle() {}\nasync function __wbg_load() {}".to_owned(),
            types: "export function handle(): void;\nexport type InitInput = 1;".to_owned(),
        };
        let module = Module::new(&glue, "abc").unwrap();
        let [(_, script), (_, types)] = module.files();
        assert_eq!(source_hash(script), Some("abc"));
        assert!(script.contains("export function handle() {}\n\nfunction decode("));
        assert!(script.contains("decode(\"AGFzbQ==\")"));
        assert!(!script.contains("__wbg_load"));
        assert!(types.ends_with("export function handle(): void;\n"));
    }

    #[test]
    fn glue_of_another_shape_is_refused() {
        let glue = Glue {
            wasm: Vec::new(),
            script: "export function handle() {}".to_owned(),
            types: String::new(),
        };
        assert!(Module::new(&glue, "abc").is_err());
    }
}
