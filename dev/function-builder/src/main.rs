//! The WebAssembly function: from Rust to the module that is committed and deployed.
//!
//! [`sources`] says what it is made of, as a hash; [`compile`] makes the
//! WebAssembly, the same bytes wherever the repository lies; [`module`] puts them
//! into one JavaScript file, which is all that `supabase functions deploy` needs.

mod compile;
mod module;
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
       cargo xtask function check            build it again and compare every byte
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

/// Builds the function and writes its module, which may then prove too heavy.
fn build(repository: &Repository) -> Result<()> {
    let (module, weight) = make(repository)?;
    for (name, text) in module.files() {
        let path = repository.path(FOLDER).join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("wrote {FOLDER}/{name}");
    }
    weight.check()
}

/// Builds the function anew and compares it with what is committed, byte for byte.
fn check(repository: &Repository) -> Result<()> {
    let (module, weight) = make(repository)?;
    for (name, text) in module.files() {
        if committed(repository, name)? != text {
            bail!("{FOLDER}/{name} is not what its sources give: run ./scripts/build");
        }
    }
    println!("{FOLDER}/{} is what its sources give", module::SCRIPT);
    weight.check()
}

/// Compares only the hash of the sources with the one in the committed module.
fn check_hash(repository: &Repository) -> Result<()> {
    let script = committed(repository, module::SCRIPT)?;
    let hash = module::source_hash(&script)
        .with_context(|| format!("{FOLDER}/{} names no sourceHash", module::SCRIPT))?;
    if hash != sources::hash(repository)? {
        bail!("the function's sources have changed since it was built: run ./scripts/build");
    }
    println!("{FOLDER}/{} is of these sources", module::SCRIPT);
    Ok(())
}

fn committed(repository: &Repository, name: &str) -> Result<String> {
    let path = repository.path(FOLDER).join(name);
    fs::read_to_string(path).with_context(|| format!("cannot read {FOLDER}/{name}"))
}

fn make(repository: &Repository) -> Result<(Module, Weight)> {
    let hash = sources::hash(repository)?;
    let glue = compile::compile(repository)?;
    let weight = Weight::of(&glue.wasm)?;
    println!("WebAssembly: {weight}");
    Ok((Module::new(&glue, &hash)?, weight))
}

/// Bytes of the WebAssembly, as it is and as it travels.
struct Weight {
    raw: usize,
    gzipped: usize,
}

impl Weight {
    const LIMIT: Weight = Weight {
        raw: 150_000,
        gzipped: 65_000,
    };

    fn of(bytes: &[u8]) -> Result<Self> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes)?;
        let gzipped = encoder.finish()?.len();
        Ok(Self {
            raw: bytes.len(),
            gzipped,
        })
    }

    /// It is decoded and compiled at every cold start, so it must not grow unseen.
    fn check(&self) -> Result<()> {
        let light = self.raw <= Self::LIMIT.raw && self.gzipped <= Self::LIMIT.gzipped;
        ensure!(light, "the WebAssembly may be {} at most", Self::LIMIT);
        Ok(())
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes, {} gzipped", self.raw, self.gzipped)
    }
}
