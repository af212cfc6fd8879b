//! A function, as defined by its folder and its configuration.

use std::path::{Path, PathBuf};
use std::process::Command;

use url::Url;

use super::Environment;
use super::config::Config;
use super::stamp::Stamp;
use crate::{Error, Result};

/// A function in one of the stack's folders.
#[derive(Debug, Clone)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// Whether requests need a JWT.
    pub(crate) verify_jwt: bool,
    /// Its own folder, which it may read.
    folder: PathBuf,
    entrypoint: PathBuf,
    import_config: Option<PathBuf>,
    dotenv: Vec<PathBuf>,
    /// Of its files when it was found.
    pub(super) stamp: Stamp,
}

impl Function {
    /// Finds a function by name in the first folder that contains it.
    pub(super) fn find(roots: &[PathBuf], name: &str) -> Result<Option<Self>> {
        // The platform's rule. It also keeps the path inside the folder.
        let is_valid = name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        if !is_valid {
            return Ok(None);
        }
        for root in roots {
            let config = Config::next_to(root)?.of(name);
            let next_to_root = |path: &PathBuf| root.with_file_name(path);
            let entrypoint = config
                .entrypoint
                .as_ref()
                .map_or_else(|| root.join(name).join("index.ts"), next_to_root);
            let Some(folder) = entrypoint.parent().filter(|_| entrypoint.is_file()) else {
                continue;
            };
            if !config.enabled {
                return Ok(None);
            }
            let import_config = config.import_map.as_ref().map(next_to_root).or_else(|| {
                [
                    folder.join("deno.json"),
                    folder.join("deno.jsonc"),
                    folder.join("import_map.json"),
                    root.join("deno.json"),
                    root.join("import_map.json"),
                ]
                .into_iter()
                .find(|path| path.is_file())
            });
            // As on the platform, each function has the variables of all. Its own come last, and win.
            let others = roots.iter().filter(|other| *other != root).rev();
            let dotenv = others
                .chain([root])
                .flat_map(|root| [root.with_file_name(".env"), root.join(".env")]);
            let dotenv: Vec<_> = dotenv.filter(|path| path.is_file()).collect();
            let mut watched = dotenv.clone();
            watched.extend(import_config.clone());
            watched.extend([
                folder.to_owned(),
                root.join("_shared"),
                root.with_file_name("config.toml"),
            ]);
            return Ok(Some(Self {
                name: name.to_owned(),
                verify_jwt: config.verify_jwt,
                folder: folder.to_owned(),
                stamp: Stamp::of(&watched),
                entrypoint,
                import_config,
                dotenv,
            }));
        }
        Ok(None)
    }

    /// The command that runs it. `scratch` is a folder that contains `edge_runtime.ts`, which
    /// receives `arguments`.
    pub(super) fn command(
        &self,
        environment: &Environment,
        scratch: &Path,
        arguments: &[String],
    ) -> Result<Command> {
        // A folder per function. A function's name has no dot, so it is never `edge_runtime.ts`.
        let scratch = scratch.join(&self.name);
        std::fs::create_dir_all(&scratch).map_err(Error::file("cannot create", &scratch))?;
        let main = scratch.join("main.ts");
        let entrypoint = Url::from_file_path(&self.entrypoint).map_err(|()| {
            Error::Invalid(format!(
                "{} is not an absolute path",
                self.entrypoint.display()
            ))
        })?;
        // Static imports need no read permission, which the function must not get.
        let text = format!(
            "import \"../edge_runtime.ts\";\nimport {};\n",
            serde_json::Value::from(entrypoint.as_str())
        );
        std::fs::write(&main, text).map_err(Error::file("cannot write", &main))?;

        let mut command = Command::new(&environment.deno);
        command.args(["run", "--quiet", "--no-prompt", "--no-lock"]);
        command.args(["--allow-env", "--allow-net", "--allow-import"]);
        command.arg(format!("--allow-read={}", self.folder.display()));
        match &self.import_config {
            Some(path) if path.file_stem().is_some_and(|stem| stem == "deno") => {
                command.arg("--config").arg(path);
            }
            Some(path) => {
                command.arg("--no-config").arg("--import-map").arg(path);
            }
            None => {
                command.arg("--no-config");
            }
        }
        command.arg(&main).args(arguments).current_dir(&self.folder);
        self.set_environment(&mut command, environment)?;
        Ok(command)
    }

    fn set_environment(&self, command: &mut Command, environment: &Environment) -> Result<()> {
        for (key, _) in std::env::vars_os() {
            if !key.to_str().is_some_and(is_needed_by_deno) {
                command.env_remove(key);
            }
        }
        // Downloads may need a proxy, but requests to the gateway must bypass it.
        let no_proxy = std::env::var("NO_PROXY").unwrap_or_default();
        command
            .env("NO_PROXY", format!("127.0.0.1,localhost,{no_proxy}"))
            .env("DENO_NO_UPDATE_CHECK", "1")
            .env("NO_COLOR", "1");
        for path in &self.dotenv {
            let invalid = |error: dotenvy::Error| {
                Error::Invalid(format!("cannot parse {}: {error}", path.display()))
            };
            for pair in dotenvy::from_path_iter(path).map_err(invalid)? {
                let (key, value) = pair.map_err(invalid)?;
                command.env(key, value);
            }
        }
        let overrides = environment.overrides();
        let variables = environment.added.iter().chain(&environment.platform);
        for (key, value) in variables.chain(&overrides.variables) {
            command.env(key, value);
        }
        Ok(())
    }
}

/// Whether Deno itself needs the variable to start or to download dependencies.
fn is_needed_by_deno(variable: &str) -> bool {
    let upper = variable.to_ascii_uppercase();
    let kept = [
        "PATH",
        "HOME",
        "TMPDIR",
        "XDG_CACHE_HOME",
        "NPM_CONFIG_REGISTRY",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "HTTP_PROXY",
        "HTTPS_PROXY",
    ];
    kept.contains(&upper.as_str()) || upper.starts_with("DENO_")
}
