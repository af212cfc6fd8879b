//! The dashboard in a real browser: each file `*_test.js` of this folder is a test.
//!
//! They start the program, on databases of their own in one Postgres, and drive a Chromium with Playwright. To run
//! only some of a file's tests, set `SUPAQUEUE_BROWSER_TEST` to a part of their names.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on must panic

use std::fs;
use std::sync::LazyLock;

use supaqueue_tests::{postgres, repository};
use tokio::process::Command;
use tokio::runtime::Runtime;

/// Postgres outlives each test.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// A test for each file, which is named like it.
macro_rules! files {
    ($($name:ident)*) => {
        const FILES: &[&str] = &[$(stringify!($name)),*];
        $(
            #[test]
            fn $name() {
                run(stringify!($name));
            }
        )*
    };
}

files! { access actions hostile live pictures screens }

#[test]
fn no_file_is_forgotten() {
    let entries = fs::read_dir(repository().join("tests/browser")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut tests: Vec<_> = names
        .filter_map(|name| Some(name.strip_suffix("_test.js")?.to_owned()))
        .collect();
    tests.sort();
    assert_eq!(tests, FILES);
}

fn run(file: &str) {
    let folder = repository().join("tests/browser");
    assert!(
        folder.join("node_modules/playwright-core").exists(),
        "Playwright is not installed: run ./scripts/setup"
    );
    let output = RUNTIME.block_on(async {
        let database = postgres().await.database("postgres");
        Command::new("node")
            .args(["--test", "--test-reporter=spec"])
            .args(
                std::env::var("SUPAQUEUE_BROWSER_TEST")
                    .map(|name| format!("--test-name-pattern={name}")),
            )
            .arg(folder.join(format!("{file}_test.js")))
            .env("SUPAQUEUE_PROGRAM", env!("CARGO_BIN_EXE_supaqueue"))
            .env("DATABASE_URL", database.url())
            .env("ADMIN_URL", database.admin_url())
            .kill_on_drop(true)
            .output()
            .await
            .expect("node starts")
    });
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    println!("{stdout}{stderr}");
    assert!(output.status.success(), "tests of {file} failed, see above");
    assert!(!stdout.contains("ℹ pass 0\n"), "{file} ran no tests");
}
