//! What is written for the reader: one who has gone, as in `supaqueue doctor | head`, is no reason
//! to stop half-way.

/// Writes a line to stdout.
macro_rules! say {
    ($($arguments:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stdout(), $($arguments)*);
    }};
}

/// Writes a line to stderr.
macro_rules! tell {
    ($($arguments:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), $($arguments)*);
    }};
}

pub(crate) use {say, tell};
