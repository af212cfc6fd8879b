//! What this program brings along.

use supaqueue_local::embedded;

use crate::project::probe::Health;

/// The migrations with their numbers.
pub(crate) fn numbered_migrations() -> Vec<(i32, &'static str, &'static str)> {
    embedded::migrations()
        .into_iter()
        .filter_map(|(name, sql)| Some((name.split('_').next()?.parse().ok()?, name, sql)))
        .collect()
}

/// What the function in this program says of itself.
pub(crate) fn embedded_function() -> Health {
    let hash = embedded::function_files()
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

    #[test]
    fn migrations_are_numbered_in_order_from_one() {
        let numbers: Vec<i32> = numbered_migrations()
            .iter()
            .map(|(number, ..)| *number)
            .collect();
        assert_eq!(
            numbers,
            (1..=i32::try_from(numbers.len()).unwrap()).collect::<Vec<_>>()
        );
    }
}
