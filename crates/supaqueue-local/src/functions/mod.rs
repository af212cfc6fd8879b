//! Runs edge functions, each in a Deno process of its own, which the first request starts.

mod config;
mod stamp;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::sync::{Mutex, oneshot};

use crate::log::LogSink;
use crate::process::{Folder, Process};
use crate::{Error, Result};
use config::{Config, FunctionConfig};
use stamp::Stamp;

/// How long a function may take to listen: the first time it may download what it imports.
const BOOT_LIMIT: Duration = Duration::from_secs(60);

/// How soon a change of a function's files is noticed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What every function's process is given.
#[derive(Debug)]
pub(crate) struct Environment {
    pub(crate) deno: PathBuf,
    /// The platform's own variables; a user's `.env` cannot change them.
    pub(crate) platform: Vec<(String, String)>,
    /// Added by the builder, for every function.
    pub(crate) added: Vec<(String, String)>,
}

/// The functions below some folders.
#[derive(Debug)]
pub(crate) struct Functions {
    roots: Vec<PathBuf>,
    environment: Environment,
    folder: Folder,
    logs: LogSink,
    found: StdMutex<HashMap<String, (Instant, Function)>>,
    running: StdMutex<HashMap<String, Slot>>,
}

/// The place of a function's process; locked while it starts.
type Slot = Arc<Mutex<Option<Arc<Running>>>>;

/// A function's process that listens.
#[derive(Debug)]
pub(crate) struct Running {
    process: Process,
    /// Of the function that it runs.
    stamp: Stamp,
    pub(crate) address: SocketAddr,
}

/// A function that was found.
#[derive(Debug, Clone)]
pub(crate) struct Function {
    name: String,
    /// Its own folder, which it may read.
    folder: PathBuf,
    entrypoint: PathBuf,
    import_config: Option<PathBuf>,
    dotenv: Vec<PathBuf>,
    stamp: Stamp,
    pub(crate) verify_jwt: bool,
}

/// Why a function gives no answer.
#[derive(Debug)]
pub(crate) enum Failed {
    /// It did not start; its log says why.
    Boot,
    /// The machinery failed before it.
    Host(Error),
}

impl Functions {
    pub(crate) fn new(
        roots: Vec<PathBuf>,
        environment: Environment,
        logs: LogSink,
    ) -> Result<Self> {
        let folder = Folder::create(None)?;
        let platform = folder.path().join("platform.ts");
        std::fs::write(&platform, include_str!("platform.ts"))
            .map_err(Error::file("cannot write", &platform))?;
        Ok(Self {
            roots,
            environment,
            folder,
            logs,
            found: StdMutex::default(),
            running: StdMutex::default(),
        })
    }

    /// Finds a function by name: the first folder that has it wins.
    pub(crate) fn find(&self, name: &str) -> Result<Option<Function>> {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((when, function)) = found.get(name)
            && when.elapsed() < LOOK_AGAIN
        {
            return Ok(Some(function.clone()));
        }
        let function = self.look_up(name)?;
        if let Some(function) = &function {
            found.insert(name.to_owned(), (Instant::now(), function.clone()));
        }
        Ok(function)
    }

    fn look_up(&self, name: &str) -> Result<Option<Function>> {
        // As the platform names them; it also keeps the name from leaving the folder.
        let is_name = name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
        if !is_name {
            return Ok(None);
        }
        for root in &self.roots {
            let config = Config::beside(root)?.of(name);
            if let Some(function) = Function::in_folder(root, name, &config) {
                return Ok(config.enabled.then_some(function));
            }
        }
        Ok(None)
    }

    /// The names of all functions, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .roots
            .iter()
            .filter_map(|root| std::fs::read_dir(root).ok())
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| matches!(self.look_up(name), Ok(Some(_))))
            .collect();
        names.sort();
        names.dedup();
        names
    }

    /// The function's process, started if need be.
    pub(crate) async fn run(&self, function: &Function) -> Result<Arc<Running>, Failed> {
        let slot = self
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(function.name.clone())
            .or_default()
            .clone();
        // Requests that come while it starts wait here.
        let mut slot = slot.lock().await;
        if let Some(running) = slot.as_ref() {
            let is_current = running.stamp == function.stamp;
            if is_current && running.process.exit_status().is_none() {
                return Ok(running.clone());
            }
            if !is_current {
                self.logs
                    .write(&function.name, "its files have changed: started again");
            }
        }
        // An older process, if there is one, ends when the last request that it serves has ended.
        let running = Arc::new(self.start(function).await?);
        *slot = Some(running.clone());
        Ok(running)
    }

    async fn start(&self, function: &Function) -> Result<Running, Failed> {
        let token = format!("supaqueue-listening-{}", crate::random_hex(8));
        let command = self.command(function, &token).map_err(Failed::Host)?;
        let (sender, mut port) = oneshot::channel();
        let (name, logs) = (function.name.clone(), self.logs.clone());
        let mut sender = Some(sender);
        let process = Process::start(&command, Signal::SIGTERM, None, move |line| {
            match line
                .strip_prefix(&token)
                .and_then(|port| port.trim().parse::<u16>().ok())
            {
                Some(port) => {
                    if let Some(sender) = sender.take() {
                        // The start may have been given up.
                        let _ = sender.send(port);
                    }
                }
                None => logs.write(&name, line),
            }
        })
        .map_err(Failed::Host)?;
        let port = tokio::select! {
            // Once the process has ended, its log is read and the sender gone.
            port = &mut port => port.ok(),
            () = tokio::time::sleep(BOOT_LIMIT) => {
                self.logs.write(&function.name, format!("not listening after {} s: stopped", BOOT_LIMIT.as_secs()));
                None
            }
        };
        match port {
            Some(port) => Ok(Running {
                process,
                stamp: function.stamp,
                address: SocketAddr::from(([127, 0, 0, 1], port)),
            }),
            None => {
                process.signal(Signal::SIGKILL);
                let status = process.wait().await;
                self.logs.write(
                    &function.name,
                    format!("did not start: exit status {status}"),
                );
                Err(Failed::Boot)
            }
        }
    }

    fn command(&self, function: &Function, token: &str) -> Result<Command> {
        // A folder for each: no function's name can be that of `platform.ts`.
        let folder = self.folder.path().join(&function.name);
        std::fs::create_dir_all(&folder).map_err(Error::file("cannot make", &folder))?;
        let main = folder.join("main.ts");
        // Static imports: they need no permission to read, which the function is not to have.
        let text = format!(
            "import \"../platform.ts\";\nimport {};\n",
            serde_json::Value::from(file_url(&function.entrypoint))
        );
        std::fs::write(&main, text).map_err(Error::file("cannot write", &main))?;

        let mut command = Command::new(&self.environment.deno);
        command.args([
            "run",
            "--quiet",
            "--no-prompt",
            "--no-lock",
            "--allow-env",
            "--allow-net",
            "--allow-import",
        ]);
        command.arg(format!("--allow-read={}", function.folder.display()));
        match &function.import_config {
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
        command.arg(&main).arg(token).current_dir(&function.folder);

        for (key, _) in std::env::vars_os() {
            // What Deno itself needs to start and to download.
            let kept = key.to_str().is_some_and(|key| {
                matches!(
                    key,
                    "PATH"
                        | "HOME"
                        | "TMPDIR"
                        | "XDG_CACHE_HOME"
                        | "NPM_CONFIG_REGISTRY"
                        | "SSL_CERT_FILE"
                        | "SSL_CERT_DIR"
                ) || key.starts_with("DENO_")
            });
            if !kept {
                command.env_remove(key);
            }
        }
        command
            .env("DENO_NO_UPDATE_CHECK", "1")
            .env("NO_COLOR", "1");
        for path in &function.dotenv {
            for pair in dotenvy::from_path_iter(path).map_err(|error| bad_dotenv(path, &error))? {
                let (key, value) = pair.map_err(|error| bad_dotenv(path, &error))?;
                command.env(key, value);
            }
        }
        for (key, value) in self
            .environment
            .added
            .iter()
            .chain(&self.environment.platform)
        {
            command.env(key, value);
        }
        Ok(command)
    }

    /// Kills a function's process at once, if it runs. The next request starts another.
    pub(crate) async fn kill(&self, name: &str) {
        if let Some(running) = self.take(name).await {
            running.process.signal(Signal::SIGKILL);
            running.process.wait().await;
        }
    }

    /// The process id of a function, if it runs.
    pub(crate) async fn pid(&self, name: &str) -> Option<i32> {
        let slot = self
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()?;
        let slot = slot.lock().await;
        slot.as_ref()
            .filter(|running| running.process.exit_status().is_none())
            .map(|running| running.process.pid())
    }

    /// Ends a function's process in order: it hears `beforeunload` and has five seconds.
    pub(crate) async fn stop(&self, name: &str) {
        if let Some(running) = self.take(name).await {
            running.process.stop().await;
        }
    }

    async fn take(&self, name: &str) -> Option<Arc<Running>> {
        let slot = self
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()?;
        slot.lock().await.take()
    }

    /// Ends all of them in order, and removes what was written for them.
    pub(crate) async fn stop_all(&self) {
        let names: Vec<String> = self
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .keys()
            .cloned()
            .collect();
        futures_util::future::join_all(names.iter().map(|name| self.stop(name))).await;
        self.folder.remove().await;
    }
}

impl Running {
    /// Waits until the process has ended; its status as a shell counts it.
    pub(crate) async fn wait(&self) -> i32 {
        self.process.wait().await
    }
}

impl Function {
    fn in_folder(root: &Path, name: &str, config: &FunctionConfig) -> Option<Self> {
        let beside_root = |path: &PathBuf| root.with_file_name(path);
        let entrypoint = config
            .entrypoint
            .as_ref()
            .map_or_else(|| root.join(name).join("index.ts"), beside_root);
        if !entrypoint.is_file() {
            return None;
        }
        let folder = entrypoint.parent()?.to_owned();
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
            folder.clone(),
            entrypoint.clone(),
            root.join("_shared"),
            root.with_file_name("config.toml"),
        ]);
        Some(Self {
            name: name.to_owned(),
            folder,
            entrypoint,
            import_config,
            dotenv,
            stamp: Stamp::of(&watched),
            verify_jwt: config.verify_jwt,
        })
    }
}

/// Finds the Deno that stands for the edge runtime: the version that it is compatible with.
pub(crate) fn find_deno() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("SUPAQUEUE_DENO") {
        let path = std::path::absolute(PathBuf::from(named)).map_err(|_| Error::NoDeno)?;
        return if path.is_file() {
            Ok(path)
        } else {
            Err(Error::NoDeno)
        };
    }
    crate::find_upwards(Path::new("scripts/node_modules/deno-platform/deno")).ok_or(Error::NoDeno)
}

fn bad_dotenv(path: &Path, error: &dotenvy::Error) -> Error {
    Error::Invalid(format!("cannot understand {}: {error}", path.display()))
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
