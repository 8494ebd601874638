//! Programs run natively: both variants, every limit, every trap, against a slow reference.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod differential;
mod limits;
mod programs;
mod reference;
mod refused;
mod support;
