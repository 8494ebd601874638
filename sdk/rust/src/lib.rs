//! The client of Outcry, for programs that buy compute.

pub mod api;
mod schema;
