//! `supaqueue dev` starts the local stack, prints its addresses, and leaves nothing behind.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A running `supaqueue dev` with its own TMPDIR.
struct Dev {
    child: Child,
    out: BufReader<ChildStdout>,
    /// What it printed before it was ready.
    banner: Vec<String>,
    temporary: TempDir,
}

impl Dev {
    fn command(temporary: &TempDir, arguments: &[&str]) -> Command {
        // Postgres may run as another user, who must be able to create a folder here.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o1777);
        std::fs::set_permissions(temporary.path(), open).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_supaqueue"));
        command
            .arg("dev")
            .args(arguments)
            .env("TMPDIR", temporary.path());
        command
    }

    /// Starts it and waits until it is ready.
    fn start(arguments: &[&str]) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let mut child = Self::command(&temporary, arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut banner = Vec::new();
        while !banner
            .last()
            .is_some_and(|line: &String| line.starts_with("Press Ctrl-C"))
        {
            let mut line = String::new();
            assert!(
                out.read_line(&mut line).unwrap() > 0,
                "it exited: {banner:?}"
            );
            banner.push(line);
        }
        Self {
            child,
            out,
            banner,
            temporary,
        }
    }

    /// The value printed next to `name`.
    fn printed(&self, name: &str) -> &str {
        let line = self.banner.iter().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {:?}", self.banner))
            .trim()
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args(["-s", name, &self.child.id().to_string()])
            .status();
        assert!(status.unwrap().success());
    }

    fn address(&self) -> String {
        self.printed("API URL")
            .trim_start_matches("http://")
            .to_owned()
    }

    /// Waits until it has exited and everything it started is gone.
    fn wait(mut self) -> (ExitStatus, String) {
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
                "left behind: {files:?}, open ports: {open:?}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// The response to a GET request to a function.
fn get(dev: &Dev, function: &str) -> String {
    let mut stream = TcpStream::connect(dev.address()).unwrap();
    let key = dev.printed("anon key");
    let request = format!(
        "GET /functions/v1/{function} HTTP/1.1\r\nhost: local\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\r\n"
    );
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
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
fn it_runs_the_users_functions_and_lists_the_extensions() {
    let (_folder, path) = functions();
    let mut dev = Dev::start(&["--functions", &path]);
    assert!(get(&dev, "hello").ends_with("hello there"));
    let mut line = String::new();
    dev.out.read_line(&mut line).unwrap();
    assert_eq!(line.trim(), "hello | called");
    assert_eq!(dev.printed("Functions"), "hello, supaqueue");
    for extension in ["pg_net", "supabase_vault", "pg_cron"] {
        let version = dev.printed(extension);
        assert!(
            version == "emulated" || version.starts_with(|c: char| c.is_ascii_digit()),
            "{extension}: {version}"
        );
    }
    dev.signal("INT");
    let (status, _) = dev.wait();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn sigterm_stops_it() {
    let dev = Dev::start(&[]);
    dev.signal("TERM");
    assert_eq!(dev.wait().0.code(), Some(0));
}

#[test]
fn kill_9_leaves_nothing_behind() {
    let (_folder, path) = functions();
    let dev = Dev::start(&["--functions", &path]);
    // Starts a function's process, which must not be left behind either.
    assert!(get(&dev, "hello").ends_with("hello there"));
    dev.signal("KILL");
    assert_eq!(dev.wait().0.code(), None);
}

#[test]
fn two_stacks_run_side_by_side() {
    let (first, second) = (Dev::start(&[]), Dev::start(&[]));
    assert_ne!(first.address(), second.address());
    assert_ne!(first.printed("Database"), second.printed("Database"));
    for dev in [first, second] {
        dev.signal("TERM");
        assert_eq!(dev.wait().0.code(), Some(0));
    }
}

#[test]
fn an_unusable_argument_is_named_in_the_error_and_nothing_is_left_behind() {
    let check = |arguments: &[&str], code: i32, named: &str| {
        let temporary = tempfile::tempdir().unwrap();
        let output = Dev::command(&temporary, arguments).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        assert!(error.contains(named), "{arguments:?}: {error}");
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
        "/nowhere contains no `postgres`",
    );
    check(&["--db-url", "nonsense"], 2, "not a database address");
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
