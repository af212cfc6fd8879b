//! The function settings in `config.toml`, next to a folder of functions.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::{Error, Result};

/// The part of `config.toml` about functions.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Config {
    #[serde(default)]
    functions: HashMap<String, FunctionConfig>,
}

/// One `[functions.NAME]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub(crate) struct FunctionConfig {
    pub(crate) enabled: bool,
    pub(crate) verify_jwt: bool,
    /// Relative to the folder of `config.toml`.
    pub(crate) entrypoint: Option<PathBuf>,
    /// An import map, or the function's `deno.json`; relative to the folder of `config.toml`.
    pub(crate) import_map: Option<PathBuf>,
}

impl Default for FunctionConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            verify_jwt: true,
            entrypoint: None,
            import_map: None,
        }
    }
}

impl Config {
    /// Reads the file next to the folder `functions`; a missing file has no settings.
    pub(crate) fn next_to(functions: &Path) -> Result<Self> {
        let path = functions.with_file_name("config.toml");
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            read => read.map_err(Error::file("cannot read", &path))?,
        };
        toml::from_str(&text).map_err(|error| {
            Error::Invalid(format!(
                "cannot parse {}: {}",
                path.display(),
                error.message()
            ))
        })
    }

    pub(crate) fn of(&self, function: &str) -> FunctionConfig {
        self.functions.get(function).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_verifies_jwts_unless_its_config_disables_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("config.toml"),
            "project_id = 'x'\n[api]\nport = 54321\n[functions.supaqueue]\nverify_jwt = false\n[functions.hello]\n",
        )
        .unwrap();
        let config = Config::next_to(&folder.path().join("functions")).unwrap();
        assert!(!config.of("supaqueue").verify_jwt);
        assert!(config.of("hello").verify_jwt);
        assert!(config.of("other").verify_jwt);
    }
}
