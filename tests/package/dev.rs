//! `supaqueue dev` in a user's project: Postgres and Deno come from npm's packages.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::pty::openpty;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;
use xtask::repository::{Deno, Repository};

use crate::{Project, copy, script, text};

/// The packages that `dev` needs, as npm lays them out where it runs no install scripts: without links
/// between the libraries of Postgres, and with Deno only in the package of its platform.
fn packages() -> TempDir {
    let folder = TempDir::new().unwrap();
    let ours = Repository::find().unwrap().node_modules();
    let copy = |from: &Path, to: &str| {
        let to = folder.path().join(to);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        copy(from, &to);
        to
    };
    let postgres = only_entry(&ours.join("@embedded-postgres"));
    let name = postgres.file_name().unwrap().to_str().unwrap();
    let postgres = copy(&postgres, &format!("@embedded-postgres/{name}"));
    for entry in postgres.join("native/lib").read_dir().unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_symlink() {
            std::fs::remove_file(entry.path()).unwrap();
        }
    }
    let deno = ours.join(Deno::Platform.package());
    let of_platform = only_entry(&deno.join("node_modules/@deno"));
    let name = of_platform.file_name().unwrap().to_str().unwrap();
    copy(&of_platform, &format!("@deno/{name}"));
    copy(&deno.join("package.json"), "deno/package.json");
    folder
}

fn only_entry(folder: &Path) -> PathBuf {
    folder.read_dir().unwrap().next().unwrap().unwrap().path()
}

/// A folder for PATH with what the stack needs of the system, and so without Postgres and Deno.
fn system() -> TempDir {
    let folder = TempDir::new().unwrap();
    let needed = ["node", "sh", "cp", "chmod", "mktemp", "rm", "sleep"];
    for name in needed {
        symlink(which::which(name).unwrap(), folder.path().join(name)).unwrap();
    }
    folder
}

fn dev(project: &Project, path: &TempDir) -> Command {
    let mut command = project.command(project.path("node_modules/.bin/supaqueue"));
    for variable in ["SUPAQUEUE_POSTGRES_BIN", "SUPAQUEUE_DENO"] {
        command.env_remove(variable);
    }
    command.arg("dev").env("PATH", path.path());
    command
}

/// Writes a function where the Supabase CLI does.
fn write_function(project: &Project) {
    let folder = project.path("supabase/functions/hello");
    std::fs::create_dir_all(&folder).unwrap();
    let index = "Deno.serve(() => new Response('hello there'));";
    std::fs::write(folder.join("index.ts"), index).unwrap();
}

/// Reads what `dev` prints until it is ready; returns the printed values' lines.
fn until_ready(out: impl Read) -> Vec<String> {
    let mut lines = Vec::new();
    for line in BufReader::new(out).lines() {
        lines.push(line.unwrap());
        if lines.iter().any(|line| line.starts_with("Press Ctrl-C")) {
            return lines;
        }
    }
    panic!("it ended: {lines:#?}");
}

fn printed<'a>(lines: &'a [String], name: &str) -> &'a str {
    let value = lines.iter().find_map(|line| line.strip_prefix(name));
    value.unwrap().trim()
}

#[test]
fn npx_supaqueue_dev_runs_the_functions_of_the_project() {
    let project = Project::new();
    // As one in root's home is, from where no other user can run Postgres.
    let closed = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(&project.folder, closed).unwrap();
    write_function(&project);
    let packages = packages();
    copy(&packages.path().join("."), &project.path("node_modules"));

    let mut npx = project.command("npx");
    npx.args(["--offline", "supaqueue", "dev"]);
    // A terminal sends Ctrl-C to all processes of its group.
    let mut npx = npx.process_group(0).stdout(Stdio::piped()).spawn().unwrap();
    let lines = until_ready(npx.stdout.take().unwrap());
    assert_eq!(printed(&lines, "Functions"), "hello, supaqueue");
    let address = printed(&lines, "API URL").trim_start_matches("http://");
    let key = printed(&lines, "anon key");
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!(
        "GET /functions/v1/hello HTTP/1.1\r\nhost: local\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(response.ends_with("hello there"), "{response}");
    killpg(Pid::from_raw(npx.id().cast_signed()), Signal::SIGINT).unwrap();
    npx.wait().unwrap();
    assert!(TcpStream::connect(address).is_err(), "it still runs");
}

#[test]
fn without_a_terminal_the_command_that_adds_the_programs_is_printed() {
    let project = Project::new();
    let path = system();
    let check = |command: &str| {
        let output = dev(&project, &path).output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        let cannot = "supaqueue dev: Postgres and Deno are not installed\n";
        let remedy = format!("  Run {command} @embedded-postgres/");
        for words in [cannot, &remedy, " deno@2.1.4\n"] {
            assert!(stderr.contains(words), "no {words:?} in {stderr}");
        }
        assert!(!stderr.contains("scripts/"), "{stderr}");
    };
    check("npm install --save-dev --save-exact");
    std::fs::write(project.path("pnpm-lock.yaml"), "").unwrap();
    check("pnpm add --save-dev --save-exact");
}

#[test]
fn at_a_terminal_the_programs_are_added_after_a_yes() {
    let project = Project::new();
    let (path, packages) = (system(), packages());
    let called = project.path("called");
    script(
        &path.path().join("npm"),
        &format!(
            "#!/bin/sh\necho \"$PWD $*\" > {}\ncp -Rp {}/. node_modules\n",
            called.display(),
            packages.path().display()
        ),
    );
    // From a folder below the project's.
    write_function(&project);
    let start = |arguments: &[&str]| {
        let terminal = openpty(None, None).unwrap();
        let side = || terminal.slave.try_clone().unwrap();
        let mut command = dev(&project, &path);
        command
            .args(arguments)
            .current_dir(project.path("supabase"))
            .stdin(side())
            .stdout(side())
            .stderr(side());
        let child = command.spawn().unwrap();
        (child, File::from(terminal.master))
    };
    let functions = ["--functions", "functions"];

    let (mut child, mut terminal) = start(&functions);
    terminal.write_all(b"n\n").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(!called.exists(), "npm ran without a yes");

    let (mut child, mut terminal) = start(&functions);
    terminal.write_all(b"y\n").unwrap();
    let lines = until_ready(terminal.try_clone().unwrap());
    let lines: Vec<_> = lines.iter().map(|line| line.trim_end()).collect();
    let question = lines
        .iter()
        .any(|line| line.starts_with("Postgres and Deno are not installed"));
    assert!(question, "{lines:#?}");
    let folder = project.folder.path().canonicalize().unwrap();
    let want = format!(
        "{} install --save-dev --save-exact @embedded-postgres/",
        folder.display()
    );
    let ran = std::fs::read_to_string(&called).unwrap();
    assert!(
        ran.starts_with(&want) && ran.ends_with(" deno@2.1.4\n"),
        "{ran}"
    );
    nix::sys::signal::kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    child.wait().unwrap();
}
