//! Where things are in the repository, for its chores and for the function builder.

pub mod repository;
