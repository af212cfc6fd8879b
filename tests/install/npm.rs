//! The program as users have it: from npm's packages, in a project without Rust.

use std::path::Path;
use std::process::{Command, Stdio};

use xtask::npm::{Platform, host, pack};
use xtask::repository::Repository;

use crate::management_api::REF;
use crate::program::{self, Cli, Run};
use crate::project::{Project, test};

#[test]
fn npx_installs_checks_and_removes() {
    test(|project| {
        let before = project.contents();
        let repository = Repository::find().unwrap();
        let platform = Platform::of(&host(&repository).unwrap()).unwrap();
        let built = Path::new(env!("CARGO_BIN_EXE_supaqueue"));
        let work = &project.environment.folder;
        let tarballs = pack(&repository, platform, built, &work.join("tarballs")).unwrap();
        std::fs::write(work.join("package.json"), "{}").unwrap();
        let added = Command::new("npm")
            .args(["install", "--offline", "--no-audit", "--no-fund"])
            .args(&tarballs)
            .current_dir(work)
            .output()
            .unwrap();
        assert!(added.status.success(), "{added:?}");

        let install = npx(project, Cli::REAL_3, &project.install_line());
        install
            .assert_status(0)
            .assert_says(&["✓ function", "deployed"])
            .assert_says(&["✓ verification", "round trip"]);
        npx(project, Cli::DOUBLE, &format!("doctor --project-ref {REF}"))
            .assert_status(0)
            .assert_says(&["ok", "self-test"]);
        project.queue("hello", "succeed", 1);
        project.run("select supaqueue.enqueue('hello', '{}')");
        let statuses = "select string_agg(status, ',') from supaqueue.job";
        project.eventually(statuses, "successful");
        npx(
            project,
            Cli::REAL_3,
            &format!("remove --project-ref {REF} --yes"),
        )
        .assert_status(0);
        assert_eq!(project.contents(), before, "nothing is left");
    });
}

/// `npx supaqueue` in the project's folder.
fn npx(project: &Project, cli: Cli, line: &str) -> Run {
    let mut command = Command::new(which::which("npx").unwrap());
    program::set_up(&mut command, &project.environment, cli);
    let words = ["--offline", "supaqueue"];
    command.args(words).args(line.split_whitespace());
    program::run(command.stdin(Stdio::null()))
}
