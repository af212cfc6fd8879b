//! Prompts at a real terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::Child;

use crate::management_api::REF;
use crate::program::{self, Cli};
use crate::project::{Project, test};

#[test]
fn a_project_is_picked_from_the_list_and_nothing_happens_without_a_yes() {
    test(async |project| {
        let before = project.contents().await;

        let mut terminal = Terminal::install(project);
        terminal.says("Which project? [1-1]").await;
        assert!(terminal.text().contains(&format!("1. {REF}  My project")));
        terminal.types("7\n");
        terminal.says("Enter a number from 1 to 1.").await;
        terminal.types("1\n");
        terminal.says("Install Supaqueue in My project").await;
        terminal.types("n\n");
        assert_eq!(terminal.ends().await, Some(1));
        assert!(terminal.text().contains("nothing was changed"));
        assert!(terminal.text().contains(&format!("--project-ref {REF}")));

        // End of input, and Ctrl-C at either prompt.
        let mut terminal = Terminal::install(project);
        terminal.says("Which project?").await;
        terminal.types("\x04");
        assert_eq!(terminal.ends().await, Some(1));
        assert!(terminal.text().contains("nothing was changed"));
        for answers in [&[][..], &["1\n"]] {
            let mut terminal = Terminal::install(project);
            terminal.says("Which project?").await;
            for answer in answers {
                terminal.types(answer);
                terminal.says("[y/N]").await;
            }
            terminal.interrupt();
            assert_eq!(terminal.ends().await, Some(130), "{}", terminal.text());
        }
        assert_eq!(project.contents().await, before);

        let mut terminal = Terminal::install(project);
        terminal.says("Which project?").await;
        terminal.types("1\n");
        terminal.says("[y/N]").await;
        terminal.types("y\n");
        assert_eq!(terminal.ends().await, Some(0), "{}", terminal.text());
    });
}

/// `supaqueue install` at a terminal, without an option that names the project.
struct Terminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Terminal {
    fn install(project: &Project) -> Self {
        let terminal = openpty(None, None).unwrap();
        let arguments = ["install", "--project-url", project.stack.gateway_url()];
        let mut command = program::command(&project.environment, Cli::DOUBLE, &arguments);
        let side = || Stdio::from(terminal.slave.try_clone().unwrap());
        let child = command
            .stdin(side())
            .stdout(side())
            .stderr(side())
            .spawn()
            .unwrap();
        let keyboard = File::from(terminal.master);
        let screen = Arc::new(Mutex::new(String::new()));
        let (mut reader, seen) = (keyboard.try_clone().unwrap(), screen.clone());
        // Reading fails once the program, the last to have the other side open, has exited.
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                seen.lock()
                    .unwrap()
                    .push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
        });
        Self {
            child,
            keyboard,
            screen,
            reader: Some(reader),
        }
    }

    fn text(&self) -> String {
        self.screen.lock().unwrap().clone()
    }

    fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    fn interrupt(&self) {
        let id = i32::try_from(self.child.id().unwrap()).unwrap();
        kill(Pid::from_raw(id), Signal::SIGINT).unwrap();
    }

    async fn says(&self, words: &str) {
        let begin = Instant::now();
        while !self.text().contains(words) {
            let waited = begin.elapsed();
            assert!(
                waited < Duration::from_secs(120),
                "no {words:?}: {}",
                self.text()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits for it to exit. Returns the status.
    async fn ends(&mut self) -> Option<i32> {
        let limit = Duration::from_secs(300);
        let status = tokio::time::timeout(limit, self.child.wait()).await;
        let status = status.unwrap_or_else(|_| panic!("it is still running: {}", self.text()));
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        status.unwrap().code()
    }
}
