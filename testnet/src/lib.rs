//! A local Outcry network of real processes: for the demo, for hands-on use, for end-to-end tests
//! and for the market's benchmarks.
//!
//! Serves no stage of a job itself: it starts the chain and the nodes that do, and looks at what
//! they did through the interfaces that users have. No product code lives here.

pub mod bench;
pub mod chain;
pub mod cheat;
pub mod conservation;
pub mod demo;
pub mod deployment;
pub mod economics;
pub mod gas;
pub mod gossip;
pub mod network;
pub mod oracle;
pub mod picture;
pub mod process;
pub mod public_chain;
pub mod summary;
