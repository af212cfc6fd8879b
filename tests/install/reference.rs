//! `docs/reference.md` names every command and option of the program, and no other.

use std::collections::BTreeSet;
use std::process::Command;

use supaqueue_tests::repository;

/// The words of a help text that look like long options.
fn options(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
        .filter(|word| word.starts_with("--") && word.len() > 2)
        .map(str::to_owned)
        .collect()
}

fn help(command: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_supaqueue"))
        .args(command)
        .arg("--help")
        .output()
        .unwrap();
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_reference_has_every_command_and_option() {
    let reference = std::fs::read_to_string(repository().join("docs/reference.md")).unwrap();
    let (_, section) = reference.split_once("\n## Command line\n").unwrap();
    let commands: BTreeSet<String> = help(&[])
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .map_while(|line| line.split_whitespace().next())
        .filter(|command| *command != "help")
        .map(str::to_owned)
        .collect();
    let documented: BTreeSet<String> = section
        .split("`supaqueue ")
        .skip(1)
        .filter_map(|rest| rest.split([' ', '`']).next())
        .filter(|word| *word != "COMMAND")
        .map(str::to_owned)
        .collect();
    assert_eq!(documented, commands, "commands");

    let mut all = BTreeSet::new();
    for command in &commands {
        all.extend(options(&help(&[command.as_str()])));
    }
    all.extend(options(&help(&["add-on", "add"])));
    all.extend(options(&help(&["add-on", "remove"])));
    let rows = section.lines().filter(|line| line.starts_with("| `--"));
    let mut documented: BTreeSet<String> = rows
        .flat_map(|row| options(row.split('|').nth(1).unwrap()))
        .collect();
    documented.insert("--help".into());
    assert_eq!(documented, all, "options");
}
