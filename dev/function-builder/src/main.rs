//! Builds the supaqueue function: from Rust to the module that is committed and deployed.
//!
//! [`compile`] produces the WebAssembly, with the same bytes wherever the repository is cloned.
//! [`module`] embeds it in one JavaScript file, which is all that `supabase functions deploy` needs.
//! [`sources`] hashes everything that goes into it, so that a stale module is detected.

mod compile;
mod dependencies;
mod module;
mod settings;
mod sources;

use std::fmt;
use std::fs;
use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use flate2::{Compression, write::GzEncoder};

use self::module::Module;
use xtask::repository::Repository;

const USAGE: &str = "\
usage: cargo xtask function build            build supabase/functions/supaqueue/supaqueue.js
       cargo xtask function check            rebuild it and compare every byte
       cargo xtask function check --quick    compare only the hash of its sources";

const FOLDER: &str = "supabase/functions/supaqueue";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<()> {
    let repository = Repository::find()?;
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["build"] => build(&repository),
        ["check"] => check(&repository),
        ["check", "--quick"] => check_hash(&repository),
        _ => bail!("{USAGE}"),
    }
}

/// Builds the function and writes its module, even if that exceeds the size limit.
fn build(repository: &Repository) -> Result<()> {
    let (module, size) = generate(repository)?;
    for (name, text) in module.files() {
        let path = repository.path(FOLDER).join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("wrote {FOLDER}/{name}");
    }
    size.check()
}

/// Rebuilds the function and compares it with the committed one, byte for byte.
fn check(repository: &Repository) -> Result<()> {
    let (module, size) = generate(repository)?;
    for (name, text) in module.files() {
        if committed(repository, name)? != text {
            bail!("{FOLDER}/{name} differs from a fresh build: run ./scripts/build");
        }
    }
    println!("{FOLDER}/{} matches a fresh build", module::SCRIPT);
    size.check()
}

/// Compares the hash of the sources with the one in the committed module.
fn check_hash(repository: &Repository) -> Result<()> {
    let script = committed(repository, module::SCRIPT)?;
    let hash = module::source_hash(&script)
        .with_context(|| format!("{FOLDER}/{} has no sourceHash", module::SCRIPT))?;
    if hash != sources::hash(repository)? {
        bail!("the function's sources have changed since it was built: run ./scripts/build");
    }
    println!("{FOLDER}/{} is up to date", module::SCRIPT);
    Ok(())
}

fn committed(repository: &Repository, name: &str) -> Result<String> {
    let path = repository.path(FOLDER).join(name);
    fs::read_to_string(path).with_context(|| format!("cannot read {FOLDER}/{name}"))
}

fn generate(repository: &Repository) -> Result<(Module, Size)> {
    let hash = sources::hash(repository)?;
    let glue = compile::compile(repository)?;
    let size = Size::of(&glue.wasm)?;
    println!("WebAssembly: {size}");
    Ok((Module::new(&glue, &hash), size))
}

/// The size of the WebAssembly in bytes.
struct Size {
    raw: usize,
    gzipped: usize,
}

impl Size {
    const LIMIT: Self = Self {
        raw: 145_000,
        gzipped: 64_000,
    };

    fn of(bytes: &[u8]) -> Result<Self> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes)?;
        Ok(Self {
            raw: bytes.len(),
            gzipped: encoder.finish()?.len(),
        })
    }

    /// The WebAssembly is decoded and compiled at every cold start, so it must not grow unnoticed.
    fn check(&self) -> Result<()> {
        let fits = self.raw <= Self::LIMIT.raw && self.gzipped <= Self::LIMIT.gzipped;
        ensure!(fits, "the WebAssembly exceeds the limit of {}", Self::LIMIT);
        Ok(())
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes, {} gzipped", self.raw, self.gzipped)
    }
}
