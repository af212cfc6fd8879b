//! The layout of the repository and how its migrations are made, for xtask and the function builder.

pub mod repository;
pub mod sql;
