//! A Markdown page of the repository: its anchors, links and code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use supaqueue_tests::repository;
use walkdir::{DirEntry, WalkDir};

/// A fenced block of code.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) language: String,
    pub(crate) text: String,
}

/// A page, parsed.
#[derive(Debug)]
pub(crate) struct Page {
    /// Relative to the top folder.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    /// What a link to a heading of this page ends with, after the `#`.
    pub(crate) anchors: BTreeSet<String>,
    /// Destinations of links and images, as written.
    pub(crate) links: Vec<String>,
    /// Code within a line.
    pub(crate) code: Vec<String>,
    pub(crate) blocks: Vec<Block>,
}

impl Page {
    /// The page at a path relative to the top folder.
    pub(crate) fn read(path: &str) -> Self {
        let text = std::fs::read_to_string(repository().join(path)).expect(path);
        Self::parse(path.into(), text)
    }

    /// Every page in the repository.
    pub(crate) fn all() -> Vec<Self> {
        let top = repository();
        let is_ours = |entry: &DirEntry| {
            let name = entry.file_name().to_string_lossy();
            let is_hidden = name.starts_with('.') && name != ".github";
            // Cargo marks its target folders as caches, whatever their name.
            let is_built = entry.path().join("CACHEDIR.TAG").is_file();
            entry.depth() == 0 || !(is_hidden || is_built || name == "node_modules")
        };
        WalkDir::new(&top)
            .sort_by_file_name()
            .into_iter()
            .filter_entry(is_ours)
            .map(Result::unwrap)
            .filter(|entry| entry.path().extension().is_some_and(|end| end == "md"))
            .map(|entry| {
                let path = entry.path().strip_prefix(&top).unwrap();
                Self::read(path.to_str().unwrap())
            })
            .collect()
    }

    /// The fenced blocks in a language.
    pub(crate) fn blocks(&self, language: &str) -> impl Iterator<Item = &str> {
        self.blocks
            .iter()
            .filter(move |block| block.language == language)
            .map(|block| block.text.as_str())
    }

    /// The lines below a heading, up to the next heading of the same level or above.
    pub(crate) fn section(&self, heading: &str) -> String {
        let level = |line: &str| match line.bytes().take_while(|byte| *byte == b'#').count() {
            0 => usize::MAX,
            level => level,
        };
        let mut lines = self.text.lines().skip_while(|line| *line != heading);
        let heading = lines.next().unwrap_or_else(|| panic!("no {heading}"));
        let body: Vec<_> = lines
            .take_while(|line| level(line) > level(heading))
            .collect();
        body.join("\n")
    }

    pub(crate) fn parse(path: PathBuf, text: String) -> Self {
        let mut page = Self {
            path,
            anchors: BTreeSet::new(),
            links: Vec::new(),
            code: Vec::new(),
            blocks: Vec::new(),
            text: String::new(),
        };
        let mut taken = BTreeMap::new();
        let (mut heading, mut block) = (None::<String>, None::<Block>);
        for event in Parser::new_ext(&text, Options::ENABLE_TABLES) {
            match event {
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    let slug = slug(&heading.take().unwrap());
                    let count = taken.entry(slug.clone()).or_insert(0);
                    let anchor = match *count {
                        0 => slug,
                        number => format!("{slug}-{number}"),
                    };
                    *count += 1;
                    page.anchors.insert(anchor);
                }
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) => {
                    block = Some(Block {
                        language: language.into_string(),
                        text: String::new(),
                    });
                }
                Event::End(TagEnd::CodeBlock) => page.blocks.extend(block.take()),
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push(dest_url.into_string());
                }
                Event::Text(text) => match (&mut heading, &mut block) {
                    (_, Some(block)) => block.text += &text,
                    (Some(heading), _) => *heading += &text,
                    _ => {}
                },
                Event::Code(code) => {
                    if let Some(heading) = &mut heading {
                        *heading += &code;
                    }
                    page.code.push(code.into_string());
                }
                _ => {}
            }
        }
        page.text = text;
        page
    }
}

/// The anchor that GitHub gives a heading.
fn slug(heading: &str) -> String {
    heading
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect::<String>()
        .to_lowercase()
}

#[test]
fn anchors_are_those_of_github() {
    let text = "# The `a_b` of C, D\n\n## Twice\n\n## Twice\n";
    let page = Page::parse("x.md".into(), text.into());
    let anchors: Vec<_> = page.anchors.iter().map(String::as_str).collect();
    assert_eq!(anchors, ["the-a_b-of-c-d", "twice", "twice-1"]);
}
