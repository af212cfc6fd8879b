//! The database's remedies, with commands for this very project.

use super::ProjectOptions;

/// How the database says which project a command is for, which the program knows.
const FOR_WHICH_PROJECT: &str = " with the ref of this very project or preview branch (for a local stack --local, for any other Postgres --db-url)";

impl ProjectOptions {
    /// Replaces each `supaqueue COMMAND` in backticks, as the database says it, by the command line for
    /// this project.
    pub(crate) fn with_commands(&self, text: &str) -> String {
        let text = text.replace(FOR_WHICH_PROJECT, "");
        let parts = text.split('`').enumerate().map(|(at, part)| {
            let part = part.replace(" --project-ref <ref>", "");
            let words: Vec<&str> = part.split(' ').collect();
            match words[..] {
                ["supaqueue", command, ref more @ ..] if at % 2 == 1 => {
                    let line = self.command(command);
                    let line = more.iter().fold(line, |line, word| line.word(word));
                    line.to_string()
                }
                _ => part,
            }
        });
        parts.collect::<Vec<_>>().join("`")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remedy_names_the_project() {
        let options = ProjectOptions {
            project_ref: Some("abc".into()),
            ..ProjectOptions::default()
        };
        let default = ProjectOptions::default().timeout;
        let check = |text: &str, want: &str| {
            let line = options.with_commands(text);
            assert_eq!(line.replace(&format!(" --timeout {default}"), ""), want);
        };
        check(
            "Run `supaqueue remove --keep-data` and `supaqueue install`.",
            "Run `supaqueue remove --project-ref abc --keep-data` and `supaqueue install --project-ref abc`.",
        );
        check(
            "supaqueue is in `public`; run: select 1;",
            "supaqueue is in `public`; run: select 1;",
        );
        check("The `supaqueue` function", "The `supaqueue` function");
        check(
            &format!("Run `supaqueue doctor --project-ref <ref>`{FOR_WHICH_PROJECT}, please."),
            "Run `supaqueue doctor --project-ref abc`, please.",
        );
    }
}
