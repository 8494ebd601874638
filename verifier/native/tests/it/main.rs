//! Programs run natively: both variants, every limit, every trap.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod limits;
mod support;
