//! Runs the programs `initdb` and `postgres`.

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::START_LIMIT;
use super::program::Program;
use super::server_log::ServerLog;
use crate::folder::Folder;
use crate::process::Process;
use crate::{Error, Result};

pub(super) async fn initdb(program: &Program, folder: &Folder, password: &str) -> Result<()> {
    let passwords = folder.path().join("password");
    write(program, &passwords, 0o600, password)?;
    let mut command = Command::new(program.bin.join("initdb"));
    command
        .args([
            "--username=supabase_admin",
            "--auth=password",
            "--encoding=UTF8",
            "--no-sync",
        ])
        .args(match program.major {
            // The same on every machine, and not limited to ASCII letters.
            17.. => &[
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
            ][..],
            _ => &["--locale=C"][..],
        })
        .arg("--no-instructions")
        .arg(format!("--pwfile={}", passwords.display()))
        .arg("-D")
        .arg(folder.path().join("data"))
        .env("LC_ALL", "C");
    let log = ServerLog::default();
    let process = Process::start(&command, Signal::SIGTERM, program.user, log.writer())?;
    let status = process.wait().await;
    std::fs::remove_file(&passwords).map_err(Error::file("cannot remove", &passwords))?;
    if status == 0 {
        Ok(())
    } else {
        Err(log.failure("initdb"))
    }
}

/// Writes a new file that belongs to the user that Postgres runs as.
pub(super) fn write(program: &Program, path: &Path, mode: u32, text: &str) -> Result<()> {
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(Error::file("cannot write", path))?;
    match program.user {
        Some(user) => std::os::unix::fs::chown(path, Some(user.uid), Some(user.gid))
            .map_err(Error::file("cannot change the owner of", path)),
        None => Ok(()),
    }
}

pub(super) fn launch(
    program: &Program,
    folder: &Folder,
    settings: &[String],
    port: u16,
    log: &ServerLog,
) -> Result<Process> {
    let mut command = Command::new(program.bin.join("postgres"));
    command
        .arg("-D")
        .arg(folder.path().join("data"))
        .arg("-p")
        .arg(port.to_string());
    command.env("LC_ALL", "C");
    for setting in settings {
        command.arg("-c").arg(setting);
    }
    log.clear();
    // SIGQUIT requests an immediate shutdown: the data is deleted anyway.
    Process::start(&command, Signal::SIGQUIT, program.user, log.writer())
}

/// Starts the server on a free port. Retries if another process takes the port first.
pub(super) async fn start_on_free_port(
    program: &Program,
    folder: &Folder,
    settings: &[String],
    log: &ServerLog,
) -> Result<(u16, Process)> {
    for _ in 0..10 {
        let port = free_port()?;
        let process = launch(program, folder, settings, port, log)?;
        let deadline = Instant::now() + START_LIMIT;
        // The port is ours once the server logs that it listens.
        loop {
            if log.contains("listening on") || Instant::now() > deadline {
                return Ok((port, process));
            }
            if process.exit_status().is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if !log.contains("could not bind") {
            break;
        }
    }
    Err(log.failure("postgres"))
}

fn free_port() -> Result<u16> {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|cause| Error::Process {
            program: "a listener on 127.0.0.1".into(),
            cause,
        })
}
