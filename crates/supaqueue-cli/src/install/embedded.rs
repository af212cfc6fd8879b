//! What this program brings along.

use crate::project::probe::Health;

/// What the function in this program says of itself.
pub(crate) fn embedded_function() -> Health {
    let hash = supaqueue_files::function_files()
        .find(|(name, _)| *name == "supaqueue.js")
        .and_then(|(_, bytes)| source_hash(std::str::from_utf8(bytes).ok()?))
        .unwrap_or_default();
    Health {
        version: env!("CARGO_PKG_VERSION").into(),
        hash: hash.into(),
    }
}

fn source_hash(module: &str) -> Option<&str> {
    let (_, after) = module.split_once("export const sourceHash = \"")?;
    Some(after.split_once('"')?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_function_knows_its_hash() {
        assert!(
            embedded_function().hash.len() >= 16,
            "{:?}",
            embedded_function()
        );
    }
}
