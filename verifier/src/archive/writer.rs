//! Writes the canonical form, entry by entry.

use std::io::{Read, Write};

use super::{ArchiveError, BLOCK_BYTES, ENTRIES_MAX, Entry, Kind, Sequence, padding};

/// Writes an archive of at most [`ENTRIES_MAX`] entries, which must come in canonical order.
#[derive(Debug)]
pub struct Writer<W> {
    sink: W,
    sequence: Sequence,
}

impl<W: Write> Writer<W> {
    /// An empty archive.
    pub fn new(sink: W) -> Self {
        Self {
            sink,
            sequence: Sequence::default(),
        }
    }

    /// Appends a file whose content is in memory.
    ///
    /// # Errors
    /// A path or order that the form does not allow; the sink's errors.
    pub fn file(&mut self, path: &str, content: &[u8]) -> Result<(), ArchiveError> {
        self.file_from(path, content.len() as u64, content)
    }

    /// Appends a file of `bytes` bytes, read from `content`.
    ///
    /// # Errors
    /// As [`Writer::file`]; [`ArchiveError::Length`] if `content` has another length.
    pub fn file_from(
        &mut self,
        path: &str,
        bytes: u64,
        content: impl Read,
    ) -> Result<(), ArchiveError> {
        self.begin(Entry {
            path: path.to_owned(),
            kind: Kind::File { bytes },
        })?;
        // One byte more than announced is enough to see that there are more.
        let mut content = content.take(bytes.saturating_add(1));
        let copied = std::io::copy(&mut content, &mut self.sink).map_err(ArchiveError::io(path))?;
        if copied != bytes {
            return Err(ArchiveError::Length {
                path: path.to_owned(),
                announced: bytes,
            });
        }
        self.put(&[0; BLOCK_BYTES][..padding(bytes)])
    }

    /// Appends a directory that has no children.
    ///
    /// # Errors
    /// As [`Writer::file`].
    pub fn empty_directory(&mut self, path: &str) -> Result<(), ArchiveError> {
        self.begin(Entry {
            path: path.to_owned(),
            kind: Kind::EmptyDirectory,
        })
    }

    /// Ends the archive and returns the sink.
    ///
    /// # Errors
    /// The sink's errors.
    pub fn finish(mut self) -> Result<W, ArchiveError> {
        self.put(&[0; 2 * BLOCK_BYTES])?;
        self.sink.flush().map_err(ArchiveError::io("archive"))?;
        Ok(self.sink)
    }

    fn begin(&mut self, entry: Entry) -> Result<(), ArchiveError> {
        if self.sequence.entries == ENTRIES_MAX {
            return Err(ArchiveError::TooManyEntries);
        }
        entry.check()?;
        self.sequence.admit(&entry)?;
        self.put(&entry.header())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.sink
            .write_all(bytes)
            .map_err(ArchiveError::io("archive"))
    }
}
