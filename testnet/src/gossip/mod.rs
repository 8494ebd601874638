//! Gossip at scale: many real nodes in one process over links with delays, and what is measured
//! there.
//!
//! A node here is the daemon's network stack, admission, state and book ([`member::Member`]); the
//! chain stands still and answers at once. Programs, deals and the API take no part.

pub mod links;
pub mod measure;
pub mod member;
pub mod orders;
