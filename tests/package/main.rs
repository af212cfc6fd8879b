//! The npm packages, installed in an empty project far from this repository, without a registry.
#![cfg(unix)]
#![allow(clippy::unwrap_used)] // a test that cannot go on must panic

mod dev;

use std::fs::Permissions;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use tempfile::TempDir;
use xtask::npm::{Platform, host, pack};
use xtask::repository::Repository;

/// A user's project, in a folder of its own.
struct Project {
    folder: TempDir,
}

impl Project {
    /// A project with the launcher and the program.
    fn new() -> Self {
        // Packing and installing the program takes seconds, as this build of it is large.
        static INSTALLED: LazyLock<Project> = LazyLock::new(|| {
            let packages = TempDir::new().unwrap();
            let program = Path::new(env!("CARGO_BIN_EXE_supaqueue"));
            let tarballs = packed(program, packages.path());
            Project::with(&tarballs.each_ref().map(PathBuf::as_path))
        });
        let folder = TempDir::new().unwrap();
        copy(&INSTALLED.path("."), folder.path());
        Self { folder }
    }

    /// A project with these packages.
    fn with(tarballs: &[&Path]) -> Self {
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("package.json"), "{}").unwrap();
        let installed = Command::new("npm")
            .args(["install", "--offline", "--silent"])
            .args(["--no-audit", "--no-fund"])
            .args(tarballs)
            .current_dir(&folder)
            .output()
            .unwrap();
        assert!(installed.status.success(), "{installed:?}");
        Self { folder }
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    /// A command in the project, which knows nothing of this repository.
    fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command
            .current_dir(&self.folder)
            .env_remove("CARGO_MANIFEST_DIR")
            .env_remove("NO_COLOR")
            .stdin(Stdio::null());
        command
    }

    fn npx(&self, arguments: &[&str]) -> Output {
        let mut npx = self.command("npx");
        npx.args(["--offline", "supaqueue"]).args(arguments);
        npx.output().unwrap()
    }
}

/// The launcher, and a program for this machine.
fn packed(program: &Path, destination: &Path) -> [PathBuf; 2] {
    let repository = Repository::find().unwrap();
    let platform = Platform::of(&host(&repository).unwrap()).unwrap();
    pack(&repository, platform, program, destination).unwrap()
}

/// Copies a file, or a folder into one that exists.
fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-Rp").args([from, to]).status();
    assert!(status.unwrap().success());
}

/// Writes an executable script.
fn script(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn npx_runs_the_program_in_a_project_that_installed_it() {
    let project = Project::new();
    let version = project.npx(&["--version"]);
    assert_eq!(
        text(&version.stdout),
        format!("supaqueue {}\n", env!("CARGO_PKG_VERSION"))
    );
    let dry_run = project.npx(&["install", "--dry-run"]);
    assert!(
        text(&dry_run.stdout).contains("0001_supaqueue.sql"),
        "{dry_run:?}"
    );
    assert!(dry_run.status.success());
    let unknown = project.npx(&["nonsense"]);
    assert_eq!(
        unknown.status.code(),
        Some(2),
        "the exit status is the program's"
    );

    let unreachable = "postgresql://127.0.0.1:1/x";
    let failed = project.npx(&["remove", "--db-url", unreachable]);
    let resume = format!("Resume with: npx supaqueue remove --db-url {unreachable}\n");
    let stderr = text(&failed.stderr);
    assert!(stderr.contains(&resume), "{stderr}");
}

#[test]
fn the_launcher_names_the_package_that_is_missing() {
    let packages = TempDir::new().unwrap();
    let [launcher, _] = packed(Path::new("/bin/sh"), packages.path());
    let project = Project::with(&[&launcher]);
    let missing = project.npx(&["--version"]);
    assert_eq!(missing.status.code(), Some(1));
    let stderr = text(&missing.stderr);
    for words in ["cannot find the package @supaqueue/", "--omit=optional"] {
        assert!(stderr.contains(words), "no {words:?} in {stderr}");
    }
}

#[test]
fn the_launcher_tells_the_platforms_apart() {
    let packages = TempDir::new().unwrap();
    let [launcher, _] = packed(Path::new("/bin/sh"), packages.path());
    let project = Project::with(&[&launcher]);
    // Makes Node.js say that it runs elsewhere.
    let preload = project.path("elsewhere.cjs");
    let says = |platform: &str, arch: &str, header: &str| {
        let script = format!(
            "Object.defineProperty(process, 'platform', {{ value: '{platform}' }});
             Object.defineProperty(process, 'arch', {{ value: '{arch}' }});
             process.report.getReport = () => ({{ header: {header} }});"
        );
        std::fs::write(&preload, script).unwrap();
        let launcher = project.path("node_modules/supaqueue/bin/supaqueue.js");
        let mut node = project.command("node");
        let output = node.arg("--require").arg(&preload).arg(launcher);
        let output = output.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        text(&output.stderr)
    };
    let glibc = "{ glibcVersionRuntime: '2.36' }";
    for (platform, arch, header, package) in [
        ("linux", "x64", glibc, "linux-x64"),
        ("linux", "x64", "{}", "linux-x64-musl"),
        ("linux", "arm64", glibc, "linux-arm64"),
        ("linux", "arm64", "{}", "linux-arm64-musl"),
        ("darwin", "arm64", "{}", "darwin-arm64"),
        ("darwin", "x64", "{}", "darwin-x64"),
        ("win32", "x64", "{}", "win32-x64"),
    ] {
        let want = format!("cannot find the package @supaqueue/{package}, ");
        let stderr = says(platform, arch, header);
        assert!(stderr.contains(&want), "no {want:?} in {stderr}");
    }
    for (platform, arch) in [("freebsd", "x64"), ("win32", "arm64"), ("linux", "riscv64")] {
        let stderr = says(platform, arch, glibc);
        let want = format!("there is no program for {platform}-{arch}, only for darwin-arm64, ");
        assert!(stderr.contains(&want), "no {want:?} in {stderr}");
        assert!(
            stderr.contains("build it from source: https://"),
            "{stderr}"
        );
    }
}

#[test]
fn a_signal_to_the_launcher_ends_the_program() {
    let packages = TempDir::new().unwrap();
    // Stands for the program, as it has to run for as long as the test wants.
    let program = packages.path().join("sleeper");
    script(&program, "#!/bin/sh\necho $$\nexec sleep 60\n");
    let [launcher, platform] = packed(&program, packages.path());
    let project = Project::with(&[&launcher, &platform]);

    let mut running = project.command(project.path("node_modules/.bin/supaqueue"));
    let mut running = running.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(running.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    let signal = |target: &str| {
        let status = Command::new("kill").args(["-s", "TERM", target]).status();
        status.unwrap().success()
    };
    assert!(signal(&running.id().to_string()));
    let status = running.wait().unwrap();
    assert_eq!(status.signal(), Some(15));
    // It closes when the program itself has ended.
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert!(!signal(line.trim()), "the program still runs");
}
