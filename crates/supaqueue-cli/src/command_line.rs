//! Commands that the user is told to run, as they can be pasted into a shell.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt::{self, Display};

/// How the user calls this program: the npm package's launcher says `npx supaqueue`.
const PROGRAM: &str = "SUPAQUEUE_COMMAND";

/// A command, with each word quoted that a shell would not take as it is.
#[derive(Debug, Clone)]
pub(crate) struct CommandLine {
    text: String,
    /// Environment variables that it needs, as secrets are not printed.
    variables: Vec<&'static str>,
}

impl CommandLine {
    /// A command of this program.
    pub(crate) fn supaqueue(command: &str) -> Self {
        let program = std::env::var(PROGRAM).unwrap_or_else(|_| "supaqueue".into());
        Self::of(&format!("{program} {command}"))
    }

    /// A command whose words need no quotes.
    pub(crate) fn of(words: &str) -> Self {
        Self {
            text: words.to_owned(),
            variables: Vec::new(),
        }
    }

    /// Adds a word.
    pub(crate) fn word(mut self, word: impl AsRef<OsStr>) -> Self {
        self.text.push(' ');
        self.text.push_str(&quote(&word.as_ref().to_string_lossy()));
        self
    }

    /// Adds an option with its value, if it has one.
    pub(crate) fn option(self, name: &str, value: Option<impl AsRef<OsStr>>) -> Self {
        match value {
            Some(value) => self.word(name).word(value),
            None => self,
        }
    }

    /// Adds an option without a value, if it is given.
    pub(crate) fn flag(self, name: &str, is_given: bool) -> Self {
        if is_given { self.word(name) } else { self }
    }

    /// Adds an option whose value comes from a shell variable. The shell refuses the command if the variable is not set.
    pub(crate) fn secret(mut self, name: &str, variable: &'static str) -> Self {
        self = self.word(name).needs(variable);
        self.text.push_str(&format!(" \"${{{variable}:?}}\""));
        self
    }

    /// Notes a variable that the command reads.
    pub(crate) fn needs(mut self, variable: &'static str) -> Self {
        self.variables.push(variable);
        self
    }

    /// What the user has to do first.
    pub(crate) fn precondition(&self) -> Option<String> {
        let names = self.variables.join(" and ");
        (!names.is_empty()).then(|| format!("Set {names} first: secrets are not printed."))
    }
}

impl Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Arguments contain no NUL, the only character that cannot be quoted.
fn quote(word: &str) -> Cow<'_, str> {
    shlex::try_quote(word).unwrap_or_else(|_| word.replace('\0', "").into())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_the_words_that_were_given() {
        let words = [
            "plain",
            "/a path/with spaces",
            "$HOME",
            "`id`",
            "$(id)",
            "it's",
            "\"quoted\" 'both'",
            "postgresql://me@db.example.com/x?sslmode=require&a=b",
            "semi;colon|pipe>file",
            "*",
            "~",
            "#hash",
            "a\nb",
            "!history",
            "back\\slash",
            "",
            "ümlaut",
            "--option=a b",
        ];
        let mut line = CommandLine::of("printf '%s\\0'");
        for word in words {
            line = line.word(word);
        }
        for shell in ["sh", "bash"] {
            let output = std::process::Command::new(shell)
                .args(["-c", &line.to_string()])
                .env("HOME", "/home")
                .output()
                .unwrap();
            let output = String::from_utf8(output.stdout).unwrap();
            let read: Vec<_> = output.split_terminator('\0').collect();
            assert_eq!(read, words, "{shell}: {line}");
        }
    }

    #[test]
    fn a_secret_comes_from_a_variable_without_which_nothing_is_run() {
        let line = CommandLine::of("printf %s").secret("--key", "ANON_KEY");
        let precondition = line.precondition().unwrap();
        assert!(
            precondition.contains("Set ANON_KEY first"),
            "{precondition}"
        );
        let run = |key: Option<&str>| {
            let mut shell = std::process::Command::new("sh");
            shell.args(["-c", &line.to_string()]).env_remove("ANON_KEY");
            let output = shell.envs(key.map(|key| ("ANON_KEY", key))).output();
            String::from_utf8(output.unwrap().stdout).unwrap()
        };
        assert_eq!(run(Some("a $b 'c'")), "--keya $b 'c'");
        assert_eq!(run(None), "");
    }
}
