//! Blobs: content-addressed files, and their verified transfer.

mod store;

pub use store::{BlobError, BlobId, BlobReader, BlobStore, BlobStoreConfig, BlobUsage};
