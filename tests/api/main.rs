//! Enqueueing as users do it: the code of the guide, with supabase-js, in edge functions and in
//! Node, through the API of a project.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on must panic

mod guide;
mod project;
mod refusals;
mod watching;
