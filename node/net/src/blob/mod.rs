//! Blobs: content-addressed files, and their verified transfer.

mod store;
mod transfer;

pub(crate) use store::PartialBlob;
pub use store::{BlobError, BlobId, BlobReader, BlobStore, BlobStoreConfig, BlobUsage};
pub(crate) use transfer::{Attempt, Blobs, serve};
