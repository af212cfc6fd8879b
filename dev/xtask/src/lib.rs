//! The layout of the repository, its migrations and its npm packages.

pub mod npm;
pub mod repository;
pub mod sql;
