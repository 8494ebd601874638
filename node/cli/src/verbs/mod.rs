//! What each verb does.

pub(crate) mod account;
pub(crate) mod audit;
pub(crate) mod clear;
pub(crate) mod config;
pub(crate) mod dispute;
pub(crate) mod job;
pub(crate) mod keys;
pub(crate) mod machine;
pub(crate) mod market;
pub(crate) mod node;
pub(crate) mod prices;
pub(crate) mod provider;
pub(crate) mod reserve;
