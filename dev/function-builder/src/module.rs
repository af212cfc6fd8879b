//! The generated JavaScript module, which contains the WebAssembly and loads it.
//!
//! The WebAssembly is embedded as base64 because the platform's bundler keeps no other files. It is
//! instantiated while the module loads, so that `handle` can be called right away.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::compile::Glue;

pub(super) const SCRIPT: &str = "supaqueue.js";
const TYPES: &str = "supaqueue.d.ts";

const HEADER: &str = "\
// Generated from crates/supaqueue-edge by ./scripts/build: do not edit.
// deno-fmt-ignore-file
// deno-lint-ignore-file
";

/// What follows wasm-bindgen's glue.
///
/// The platform's V8 has no `Uint8Array.fromBase64`. The loop is in a function because it takes twice
/// as long at the top level of a module; `Uint8Array.from` takes six times as long.
pub(super) const LAYOUT: &str = r#"
/** The hash of the sources that this module was built from. */
export const sourceHash = "«hash»";

function decode(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

initSync({ module: decode("«wasm»") });
"#;

const TYPES_LAYOUT: &str = "
/** The hash of the sources that this module was built from. */
export const sourceHash: string;
";

/// The contents of the generated files.
pub(super) struct Module {
    script: String,
    types: String,
}

impl Module {
    pub(super) fn new(glue: &Glue, hash: &str) -> Self {
        let layout =
            LAYOUT
                .replacen("«hash»", hash, 1)
                .replacen("«wasm»", &STANDARD.encode(&glue.wasm), 1);
        Self {
            script: [HEADER, &glue.script, &layout].concat(),
            types: [HEADER, &glue.types, TYPES_LAYOUT].concat(),
        }
    }

    /// The names and contents of the files.
    pub(super) fn files(&self) -> [(&'static str, &str); 2] {
        [(SCRIPT, &self.script), (TYPES, &self.types)]
    }
}

/// The source hash that a module contains.
pub(super) fn source_hash(script: &str) -> Option<&str> {
    let (_, rest) = script.split_once("export const sourceHash = \"")?;
    rest.split_once('"').map(|(hash, _)| hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_module_loads_its_webassembly_and_exports_its_hash() {
        let glue = Glue {
            wasm: b"\0asm".to_vec(),
            script: "export function handle() {}\n".to_owned(),
            types: "export function handle(): void;\n".to_owned(),
        };
        let module = Module::new(&glue, "abc");
        let [(_, script), (_, types)] = module.files();
        assert_eq!(source_hash(script), Some("abc"));
        assert!(script.contains("\nexport function handle() {}\n"));
        assert!(script.ends_with("\ninitSync({ module: decode(\"AGFzbQ==\") });\n"));
        assert!(types.contains("\nexport function handle(): void;\n"));
        assert!(types.ends_with("export const sourceHash: string;\n"));
    }
}
