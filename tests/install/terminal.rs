//! Prompts at a real terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::management_api::{Fault, Pattern, REF};
use crate::program::{self, Cli};
use crate::project::{Project, eventually, test};

#[test]
fn a_project_is_picked_from_the_list_and_nothing_happens_without_a_yes() {
    test(|project| {
        let before = project.contents();

        let mut terminal = Terminal::install(project);
        terminal.says("Which project? [1-1]");
        assert!(terminal.text().contains(&format!("1. {REF}  My project")));
        terminal.types("7\n");
        terminal.says("Enter a number from 1 to 1.");
        terminal.types("1\n");
        terminal.says("Install Supaqueue in My project");
        terminal.types("n\n");
        assert_eq!(terminal.ends(), Some(1));
        assert!(terminal.text().contains("nothing was changed"));
        assert!(terminal.text().contains(&format!("--project-ref {REF}")));

        // End of input, and signals at either prompt.
        let mut terminal = Terminal::install(project);
        terminal.says("Which project?");
        terminal.types("\x04");
        assert_eq!(terminal.ends(), Some(1));
        assert!(terminal.text().contains("nothing was changed"));
        for (answers, signal, status) in [
            (&[][..], Signal::SIGINT, 130),
            (&["1\n"], Signal::SIGINT, 130),
            (&[], Signal::SIGTERM, 143),
            (&["1\n"], Signal::SIGHUP, 129),
        ] {
            let mut terminal = Terminal::install(project);
            terminal.says("Which project?");
            for answer in answers {
                terminal.types(answer);
                terminal.says("[y/N]");
            }
            terminal.is_sent(signal);
            assert_eq!(terminal.ends(), Some(status), "{}", terminal.text());
            assert!(terminal.text().contains("interrupted; run it again"));
        }
        assert_eq!(project.contents(), before);

        let mut terminal = Terminal::install(project);
        terminal.says("Which project?");
        terminal.types("1\n");
        terminal.says("[y/N]");
        terminal.types("y\n");
        assert_eq!(terminal.ends(), Some(0), "{}", terminal.text());
    });
}

#[test]
fn a_signal_is_not_taken_for_the_doctors_verdict() {
    test(|project| {
        project.install_unreachable();
        let diagnosis = Pattern::query("supaqueue_doctor");
        project.platform.set_trap(diagnosis, Fault::Hang);
        let line = format!("doctor --project-ref {REF}");
        let doctor = project.command(Cli::DOUBLE, &line).spawn().unwrap();
        eventually(|| {
            let is_sprung = project.platform.is_sprung();
            is_sprung.then_some(()).ok_or(|| "no diagnosis".into())
        });
        let id = Pid::from_raw(doctor.id().cast_signed());
        kill(id, Signal::SIGTERM).unwrap();
        let run = program::ended(&doctor.wait_with_output().unwrap());
        project.platform.remove_trap();
        run.assert_says(&["failed", "function: not deployed"]);
        run.assert_status(143);
    });
}

/// The program at a terminal.
pub(crate) struct Terminal {
    child: Child,
    keyboard: File,
    screen: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Terminal {
    /// `supaqueue install`, without an option that names the project.
    fn install(project: &Project) -> Self {
        let line = format!("install --project-url {}", project.stack.gateway_url());
        Self::start(&mut project.command(Cli::DOUBLE, &line))
    }

    pub(crate) fn start(command: &mut Command) -> Self {
        let terminal = openpty(None, None).unwrap();
        let side = || terminal.slave.try_clone().unwrap();
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
                let text = String::from_utf8_lossy(&buffer[..length]);
                seen.lock().unwrap().push_str(&text);
            }
        });
        let reader = Some(reader);
        Self {
            child,
            keyboard,
            screen,
            reader,
        }
    }

    pub(crate) fn text(&self) -> String {
        self.screen.lock().unwrap().clone()
    }

    pub(crate) fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    pub(crate) fn is_sent(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    pub(crate) fn says(&self, words: &str) {
        eventually(|| {
            let text = self.text();
            text.contains(words)
                .then_some(())
                .ok_or(move || format!("no {words:?}: {text}"))
        });
    }

    /// Waits for it to exit. Returns the status.
    pub(crate) fn ends(&mut self) -> Option<i32> {
        let status = eventually(|| {
            let running = || format!("it is still running: {}", self.screen.lock().unwrap());
            self.child.try_wait().unwrap().ok_or(running)
        });
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        status.code()
    }
}
