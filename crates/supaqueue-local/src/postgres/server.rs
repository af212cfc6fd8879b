//! Runs the programs `initdb` and `postgres`.

use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::START_LIMIT;
use super::log::Log;
use super::program::Program;
use crate::process::{Folder, Process};
use crate::{Error, Result};

pub(super) async fn initdb(program: &Program, folder: &Folder, password: &str) -> Result<()> {
    let passwords = folder.path().join("password");
    std::fs::write(&passwords, password).map_err(Error::file("cannot write", &passwords))?;
    if let Some(user) = program.user {
        std::os::unix::fs::chown(&passwords, Some(user.uid), Some(user.gid))
            .map_err(Error::file("cannot give away", &passwords))?;
    }
    let mut command = Command::new(program.bin.join("initdb"));
    command
        .args([
            "--username=supabase_admin",
            "--auth=password",
            "--encoding=UTF8",
            "--no-sync",
        ])
        .args(match program.major {
            // The same on every machine, and it knows more letters than ASCII's.
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
    let log = Log::default();
    let process = Process::start(&command, Signal::SIGTERM, program.user, log.writer())?;
    let status = process.wait().await;
    std::fs::remove_file(&passwords).map_err(Error::file("cannot remove", &passwords))?;
    if status == 0 {
        Ok(())
    } else {
        Err(log.failure("initdb"))
    }
}

pub(super) fn launch(
    program: &Program,
    folder: &Folder,
    settings: &[String],
    port: u16,
    log: &Log,
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
    // SIGQUIT is Postgres' "immediate shutdown": the data is thrown away.
    Process::start(&command, Signal::SIGQUIT, program.user, log.writer())
}

/// Starts the server on a free port. Another process may take the port in between: then on another.
pub(super) async fn start_somewhere(
    program: &Program,
    folder: &Folder,
    settings: &[String],
    log: &Log,
) -> Result<(u16, Process)> {
    for _ in 0..10 {
        let port = free_port()?;
        let process = launch(program, folder, settings, port, log)?;
        let deadline = Instant::now() + START_LIMIT;
        // Whether the port is ours is known once the server says so or has ended.
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
            return Err(log.failure("postgres"));
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
