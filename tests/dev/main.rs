//! `supaqueue dev` starts the local stack, prints its addresses, and leaves nothing behind.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// A running `supaqueue dev` with its own TMPDIR.
struct Dev {
    child: Child,
    out: Lines<BufReader<ChildStdout>>,
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
        Self::start_in(Path::new("."), arguments)
    }

    /// Starts it in the folder of a project.
    fn start_in(folder: &Path, arguments: &[&str]) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let mut command = Self::command(&temporary, arguments);
        command.current_dir(folder);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut dev = Self {
            out: BufReader::new(child.stdout.take().unwrap()).lines(),
            child,
            banner: Vec::new(),
            temporary,
        };
        let is_last = |line: &String| line.starts_with("Press Ctrl-C");
        while !dev.banner.last().is_some_and(is_last) {
            let line = dev.out.next();
            let line = line.unwrap_or_else(|| panic!("it exited: {:?}", dev.banner));
            dev.banner.push(line.unwrap());
        }
        dev
    }

    /// The value printed next to `name`.
    fn printed(&self, name: &str) -> &str {
        let line = self.banner.iter().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in {:?}", self.banner))
            .trim()
    }

    /// The next line of the logs that contains a text.
    fn line(&mut self, text: &str) -> String {
        let mut lines = self.out.by_ref().map(Result::unwrap);
        let line = lines.find(|line| line.contains(text));
        line.unwrap_or_else(|| panic!("it exited without {text:?}"))
    }

    fn address(&self) -> &str {
        let url = self.printed("API URL");
        url.trim_start_matches("http://")
    }

    fn database_address(&self) -> &str {
        let (_, address) = self.printed("Database").split_once('@').unwrap();
        address.trim_end_matches("/postgres")
    }

    /// Sends a signal, waits until it has exited and everything it started is gone; returns its
    /// exit code.
    fn stop(mut self, signal: Signal) -> Option<i32> {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
        let status = self.child.wait().unwrap();
        let deadline = Instant::now() + Duration::from_secs(15);
        loop {
            let files: Vec<_> = self.temporary.path().read_dir().unwrap().collect();
            let mut open = vec![self.address(), self.database_address()];
            open.retain(|address| TcpStream::connect(address).is_ok());
            if files.is_empty() && open.is_empty() {
                return status.code();
            }
            assert!(
                Instant::now() < deadline,
                "left behind: {files:?}, open ports: {open:?}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A failed test leaves no stack running.
impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

/// The response to a GET request to a function.
fn get(dev: &Dev, function: &str) -> String {
    let key = dev.printed("anon key");
    let head = format!(
        "GET /functions/v1/{function} HTTP/1.1\r\nhost: local\r\nauthorization: Bearer {key}"
    );
    request(dev.address(), &head)
}

/// The response to a request, given as its first lines.
fn request(address: &str, head: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .write_all(format!("{head}\r\nconnection: close\r\n\r\n").as_bytes())
        .unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

fn functions() -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let hello = folder.path().join("hello");
    std::fs::create_dir(&hello).unwrap();
    let index = "Deno.serve(() => { console.log('called'); return new Response('hello there'); });";
    std::fs::write(hello.join("index.ts"), index).unwrap();
    let path = folder.path().to_str().unwrap().to_owned();
    (folder, path)
}

#[test]
fn it_runs_the_users_functions_and_lists_the_extensions() {
    let (_folder, path) = functions();
    let mut dev = Dev::start(&["--functions", &path]);
    assert!(get(&dev, "hello").ends_with("hello there"));
    let mut lines = dev.out.by_ref().map(Result::unwrap);
    let log = lines.find(|line| !line.is_empty()).unwrap();
    assert_eq!(log.trim_start(), "hello | called");
    assert_eq!(dev.printed("Functions"), "hello, supaqueue");
    let extensions = dev.printed("Extensions").split(", ");
    for (name, printed) in ["pg_net", "supabase_vault", "pg_cron"]
        .iter()
        .zip(extensions)
    {
        let version = printed.strip_prefix(name).unwrap().trim();
        let is_version = version == "emulated" || version.starts_with(|c: char| c.is_ascii_digit());
        assert!(is_version, "{printed}");
    }
    for line in &dev.banner {
        let is_long = line.contains(" eyJ") || line.starts_with("Dashboard");
        assert!(is_long || line.chars().count() <= 80, "too wide: {line}");
        assert!(!line.contains('\x1b'), "color outside a terminal: {line:?}");
    }
    let link = dev.printed("Dashboard").trim_start_matches("http://");
    let (address, path) = link.split_once('/').unwrap();
    let page = request(address, &format!("GET /{path} HTTP/1.1\r\nhost: {address}"));
    assert!(page.starts_with("HTTP/1.1 303"), "the link lets in: {page}");
    assert_eq!(dev.stop(Signal::SIGINT), Some(0));
}

/// The first steps of the README, without an account: init, dev, and a job.
#[test]
fn the_queue_that_init_writes_calls_its_function() {
    let project = tempfile::tempdir().unwrap();
    let supabase = project.path().join("supabase");
    std::fs::create_dir_all(supabase.join("migrations")).unwrap();
    std::fs::write(supabase.join("config.toml"), "project_id = \"x\"\n").unwrap();
    let mut init = Command::new(env!("CARGO_BIN_EXE_supaqueue"));
    let init = init.args(["init", "--yes"]).current_dir(&project).output();
    let init = String::from_utf8(init.unwrap().stderr).unwrap();
    let enqueue = init
        .lines()
        .find(|line| line.contains("supaqueue.enqueue("));
    std::fs::write(supabase.join("seed.sql"), enqueue.unwrap()).unwrap();
    let broken = supabase.join("migrations/29990101000000_broken.sql");

    let mut dev = Dev::start_in(project.path(), &[]);
    assert_eq!(dev.printed("Functions"), "hello, supaqueue");
    assert_eq!(dev.printed("Migrations"), "3 applied");
    let url = dev.printed("Database").to_owned();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let job = "select status || ' ' || coalesce(result::text, '') from supaqueue.job";
    runtime.block_on(async {
        let client = supaqueue_local::connect(&url).await.unwrap();
        supaqueue_tests::eventually(&client, job, r#"successful {"hello": "Ada"}"#).await;
    });

    // While it runs: one that fails, its correction, and the functions still run.
    std::fs::write(
        &broken,
        "create table public.mine ();\nselect realtime.send();\n",
    )
    .unwrap();
    let line = dev.line("29990101000000_broken.sql");
    assert!(
        line.contains("_broken.sql:2: schema \"realtime\""),
        "{line}"
    );
    dev.line("The local stack has no schema realtime");
    assert!(get(&dev, "hello").contains("401"), "only signed calls");
    std::fs::write(&broken, "create table public.mine ();\n").unwrap();
    dev.line("applied supabase/migrations/29990101000000_broken.sql");
    assert_eq!(dev.stop(Signal::SIGINT), Some(0));

    // At the start, too, a failure does not keep it from running.
    std::fs::write(&broken, "nonsense").unwrap();
    let mut dev = Dev::start_in(project.path(), &[]);
    assert_eq!(
        dev.printed("Migrations"),
        "2 applied, then one failed: see below"
    );
    dev.line("_broken.sql:1: syntax error");
    assert_eq!(dev.stop(Signal::SIGINT), Some(0));
}

#[test]
fn no_color_is_respected_at_a_terminal() {
    for (no_color, is_colored) in [("", true), ("1", false)] {
        let temporary = tempfile::tempdir().unwrap();
        let terminal = nix::pty::openpty(None, None).unwrap();
        let mut command = Dev::command(&temporary, &[]);
        command.env("NO_COLOR", no_color).stdout(terminal.slave);
        let mut child = command.spawn().unwrap();
        // Closes our copy of the terminal's other end.
        drop(command);
        let screen = BufReader::new(std::fs::File::from(terminal.master)).lines();
        let mut lines = screen.map(Result::unwrap);
        let first = lines.next().unwrap();
        lines.find(|line| line.starts_with("Press Ctrl-C")).unwrap();
        assert_eq!(
            first.contains('\x1b'),
            is_colored,
            "NO_COLOR={no_color}: {first:?}"
        );
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn sigterm_stops_it() {
    assert_eq!(Dev::start(&[]).stop(Signal::SIGTERM), Some(0));
}

#[test]
fn kill_9_leaves_nothing_behind() {
    let (_folder, path) = functions();
    let dev = Dev::start(&["--functions", &path]);
    // Starts a function's process, which must not be left behind either.
    assert!(get(&dev, "hello").ends_with("hello there"));
    assert_eq!(dev.stop(Signal::SIGKILL), None);
}

#[test]
fn two_stacks_run_side_by_side() {
    let (first, second) = (Dev::start(&[]), Dev::start(&[]));
    assert_ne!(first.address(), second.address());
    assert_ne!(first.database_address(), second.database_address());
    for dev in [first, second] {
        assert_eq!(dev.stop(Signal::SIGTERM), Some(0));
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
        // A folder is removed by a process that outlives the program for a moment.
        let deadline = Instant::now() + Duration::from_secs(15);
        while temporary.path().read_dir().unwrap().next().is_some() {
            assert!(Instant::now() < deadline, "{arguments:?} left a folder");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    #[rustfmt::skip]
    let cases = [
        (["--functions", "/nowhere/functions"], 2, "/nowhere/functions"),
        (["--functions", "/etc/passwd"], 2, "/etc/passwd is not a folder"),
        (["--postgres-bin", "/nowhere"], 2, "/nowhere contains no `postgres`"),
        (["--db-url", "nonsense"], 2, "not a database address"),
        (["--db-url", "postgres://db.example.com/x"], 2, "db.example.com:5432: it is not on this machine"),
        (["--db-url", "postgres://127.0.0.1:1/x"], 1, "cannot connect to Postgres at 127.0.0.1:1"),
        (["--port", "0"], 2, "0 is not in 1..=65535"),
    ];
    for (arguments, code, named) in cases {
        check(&arguments, code, named);
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    check(&["--port", &port], 2, "cannot listen on 127.0.0.1");
}
