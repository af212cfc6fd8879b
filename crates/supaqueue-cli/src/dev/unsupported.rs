//! `supaqueue dev` where the local stack does not run: it explains what to do instead.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::user_error::{self, user_error};

/// Starts a local stack for development and tests (in WSL, not on Windows itself).
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    #[arg(hide = true, allow_hyphen_values = true, trailing_var_arg = true)]
    _ignored: Vec<OsString>,
}

/// Explains that it does not run here.
pub(crate) async fn run(_: Arguments) -> ExitCode {
    let error = user_error(
        "the local stack does not run on Windows: its processes need Unix",
        "Use WSL (https://learn.microsoft.com/windows/wsl): install Node.js and the packages of your project in it, and run this there. \
         With Docker, `supabase start` and `supaqueue install --local` work on Windows.",
    );
    user_error::print("supaqueue dev", &error);
    ExitCode::FAILURE
}
