//! One function as its folder and its configuration say.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Environment;
use super::config::Config;
use super::stamp::Stamp;
use crate::{Error, Result};

/// A function that was found.
#[derive(Debug, Clone)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// Whether a request needs a JWT to reach it.
    pub(crate) verify_jwt: bool,
    /// Its own folder, which it may read.
    folder: PathBuf,
    entrypoint: PathBuf,
    import_config: Option<PathBuf>,
    dotenv: Vec<PathBuf>,
    /// Of its files, when it was found.
    pub(super) stamp: Stamp,
}

impl Function {
    /// Finds a function by name: the first folder that has it wins.
    pub(super) fn find(roots: &[PathBuf], name: &str) -> Result<Option<Self>> {
        // As the platform names them; it also keeps the name from leaving the folder.
        let is_name = name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        if !is_name {
            return Ok(None);
        }
        for root in roots {
            let config = Config::beside(root)?.of(name);
            let beside_root = |path: &PathBuf| root.with_file_name(path);
            let entrypoint = config
                .entrypoint
                .as_ref()
                .map_or_else(|| root.join(name).join("index.ts"), beside_root);
            let Some(folder) = entrypoint.parent().filter(|_| entrypoint.is_file()) else {
                continue;
            };
            if !config.enabled {
                return Ok(None);
            }
            let import_config = config.import_map.as_ref().map(beside_root).or_else(|| {
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
            let dotenv = [root.with_file_name(".env"), root.join(".env")].into_iter();
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

    /// The command that runs it; `scratch` is a folder that holds `platform.ts`, and
    /// `arguments` are for that.
    pub(super) fn command(
        &self,
        environment: &Environment,
        scratch: &Path,
        arguments: &[String],
    ) -> Result<Command> {
        // A folder for each: no function's name can be that of `platform.ts`.
        let scratch = scratch.join(&self.name);
        std::fs::create_dir_all(&scratch).map_err(Error::file("cannot make", &scratch))?;
        let main = scratch.join("main.ts");
        // Static imports: they need no permission to read, which the function is not to have.
        let text = format!(
            "import \"../platform.ts\";\nimport {};\n",
            serde_json::Value::from(file_url(&self.entrypoint))
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
            if !key.to_str().is_some_and(is_for_deno) {
                command.env_remove(key);
            }
        }
        // Downloads may need a proxy; the gateway does not.
        let direct = std::env::var("NO_PROXY").unwrap_or_default();
        command
            .env("NO_PROXY", format!("127.0.0.1,localhost,{direct}"))
            .env("DENO_NO_UPDATE_CHECK", "1")
            .env("NO_COLOR", "1");
        for path in &self.dotenv {
            let bad = |error: dotenvy::Error| {
                Error::Invalid(format!("cannot understand {}: {error}", path.display()))
            };
            for pair in dotenvy::from_path_iter(path).map_err(bad)? {
                let (key, value) = pair.map_err(bad)?;
                command.env(key, value);
            }
        }
        let changed = environment.changed();
        let variables = environment.added.iter().chain(&environment.platform);
        for (key, value) in variables.chain(&changed.variables) {
            command.env(key, value);
        }
        Ok(())
    }
}

/// What Deno itself needs to start and to download.
fn is_for_deno(variable: &str) -> bool {
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

fn file_url(path: &Path) -> String {
    let mut url = String::from("file://");
    for byte in path.to_string_lossy().bytes() {
        match byte {
            b'/' | b'-' | b'_' | b'.' | b'~' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                url.push(byte.into())
            }
            _ => url.push_str(&format!("%{byte:02X}")),
        }
    }
    url
}
