//! Where things are in the repository, and how its migrations are made.

pub mod repository;
pub mod sql;
