//! `supaqueue dev` starts, says what it started, and leaves nothing behind however it ends.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A running `supaqueue dev`, in a folder of its own for temporary files.
struct Dev {
    child: Child,
    out: BufReader<ChildStdout>,
    start: Vec<String>,
    temporary: TempDir,
}

impl Dev {
    fn command(temporary: &TempDir, arguments: &[&str]) -> Command {
        // Postgres may run as another user, who must be able to make a folder here.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o1777);
        std::fs::set_permissions(temporary.path(), open).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_supaqueue"));
        command
            .arg("dev")
            .args(arguments)
            .env("TMPDIR", temporary.path());
        command
    }

    /// Starts it and waits until it says that it runs.
    fn start(arguments: &[&str]) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let mut child = Self::command(&temporary, arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut start = Vec::new();
        while !start
            .last()
            .is_some_and(|line: &String| line.starts_with("Ctrl-C stops it"))
        {
            let mut line = String::new();
            assert!(out.read_line(&mut line).unwrap() > 0, "it ended: {start:?}");
            start.push(line);
        }
        Self {
            child,
            out,
            start,
            temporary,
        }
    }

    /// What it printed beside `name`.
    fn printed(&self, name: &str) -> &str {
        let line = self.start.iter().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {:?}", self.start))
            .trim()
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status();
        assert!(status.unwrap().success());
    }

    fn address(&self) -> String {
        self.printed("Project address")
            .trim_start_matches("http://")
            .to_owned()
    }

    /// Waits for its end, and for all that it started to be gone.
    fn end(mut self) -> (ExitStatus, String) {
        let database = self
            .printed("Database")
            .split('@')
            .nth(1)
            .unwrap()
            .replace("/postgres", "");
        let addresses = [self.address(), database];
        let status = self.child.wait().unwrap();
        let mut rest = String::new();
        self.out.read_to_string(&mut rest).unwrap();
        let deadline = Instant::now() + Duration::from_secs(15);
        loop {
            let files: Vec<PathBuf> = self
                .temporary
                .path()
                .read_dir()
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .collect();
            let open: Vec<&String> = addresses
                .iter()
                .filter(|address| TcpStream::connect(address.as_str()).is_ok())
                .collect();
            if files.is_empty() && open.is_empty() {
                return (status, rest);
            }
            assert!(
                Instant::now() < deadline,
                "left behind: {files:?}, and open: {open:?}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The answer to a GET of a function.
fn get(dev: &Dev, function: &str) -> String {
    let mut stream = TcpStream::connect(dev.address()).unwrap();
    let key = dev.printed("anon key");
    let request = format!(
        "GET /functions/v1/{function} HTTP/1.1\r\nhost: local\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\r\n"
    );
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn functions() -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("hello")).unwrap();
    std::fs::write(
        folder.path().join("hello/index.ts"),
        "Deno.serve(() => { console.log('called'); return new Response('hello there'); });",
    )
    .unwrap();
    let path = folder.path().to_str().unwrap().to_owned();
    (folder, path)
}

#[test]
fn it_runs_the_users_functions_and_says_what_is_a_stand_in() {
    let (_folder, path) = functions();
    let mut dev = Dev::start(&["--functions", &path]);
    assert!(get(&dev, "hello").ends_with("hello there"));
    let mut line = String::new();
    dev.out.read_line(&mut line).unwrap();
    assert_eq!(line.trim(), "hello | called");
    assert_eq!(dev.printed("Functions"), "hello, supaqueue");
    for extension in ["pg_net", "supabase_vault", "pg_cron"] {
        let what = dev.printed(extension);
        assert!(
            what == "stand-in" || what.starts_with("real"),
            "{extension}: {what}"
        );
    }
    dev.signal("INT");
    let (status, _) = dev.end();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn sigterm_ends_it_in_order() {
    let dev = Dev::start(&[]);
    dev.signal("TERM");
    assert_eq!(dev.end().0.code(), Some(0));
}

#[test]
fn a_kill_leaves_nothing_behind() {
    let (_folder, path) = functions();
    let dev = Dev::start(&["--functions", &path]);
    // A function's process is there to be left, too.
    assert!(get(&dev, "hello").ends_with("hello there"));
    dev.signal("KILL");
    assert_eq!(dev.end().0.code(), None);
}

#[test]
fn two_run_side_by_side() {
    let (first, second) = (Dev::start(&[]), Dev::start(&[]));
    assert_ne!(first.address(), second.address());
    assert_ne!(first.printed("Database"), second.printed("Database"));
    for dev in [first, second] {
        dev.signal("TERM");
        assert_eq!(dev.end().0.code(), Some(0));
    }
}

#[test]
fn what_cannot_be_used_is_named_in_one_line_and_nothing_is_left() {
    let check = |arguments: &[&str], code: i32, named: &str| {
        let temporary = tempfile::tempdir().unwrap();
        let output = Dev::command(&temporary, arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(named), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    };
    check(
        &["--functions", "/nowhere/functions"],
        2,
        "/nowhere/functions",
    );
    check(
        &["--functions", "/etc/passwd"],
        2,
        "/etc/passwd is not a folder",
    );
    check(
        &["--postgres-bin", "/nowhere"],
        2,
        "/nowhere holds no `postgres`",
    );
    check(
        &["--db-url", "nonsense"],
        2,
        "not the address of a database",
    );
    check(
        &["--db-url", "postgres://127.0.0.1:1/x"],
        1,
        "cannot connect to Postgres at 127.0.0.1:1",
    );
    check(&["--port", "0"], 2, "0 is not in 1..=65535");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    check(&["--port", &port], 2, "cannot listen on 127.0.0.1");
}
