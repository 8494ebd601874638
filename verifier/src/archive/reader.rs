//! Reads an archive as a stream and accepts the canonical form only.

use std::io::Read;

use super::{ArchiveError, BLOCK_BYTES, Entry, Kind, Sequence, padding};

/// A stream of entries, each with its content.
///
/// ```
/// use outcry_verifier::archive::{Kind, Reader, Writer};
/// let mut writer = Writer::new(Vec::new());
/// writer.file("in/a.txt", b"content").unwrap();
/// let bytes = writer.finish().unwrap();
///
/// let mut reader = Reader::new(bytes.as_slice());
/// let entry = reader.next_entry().unwrap().unwrap();
/// assert_eq!((entry.path.as_str(), entry.kind), ("in/a.txt", Kind::File { bytes: 7 }));
/// assert_eq!(reader.read_content().unwrap(), b"content");
/// assert!(reader.next_entry().unwrap().is_none());
/// ```
#[derive(Debug)]
pub struct Reader<R> {
    source: R,
    offset: u64,
    /// Content of the current entry that is still unread, and the padding after it.
    content: u64,
    padding: usize,
    sequence: Sequence,
    ended: bool,
}

impl<R: Read> Reader<R> {
    /// Reads an archive from its beginning.
    pub fn new(source: R) -> Self {
        Self {
            source,
            offset: 0,
            content: 0,
            padding: 0,
            sequence: Sequence::default(),
            ended: false,
        }
    }

    /// The next entry, skipping what is unread of the present one; `None` after the last, when the
    /// archive has been found canonical to its last byte.
    ///
    /// # Errors
    /// [`ArchiveError::Form`] and the errors of paths and order for anything not canonical.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, ArchiveError> {
        if self.ended {
            return Ok(None);
        }
        self.skip_content()?;
        let at = self.offset;
        let header = self.block()?;
        if header == [0; BLOCK_BYTES] {
            self.end()?;
            return Ok(None);
        }
        let entry = parse(&header).map_err(|reason| ArchiveError::Form { offset: at, reason })?;
        entry.check()?;
        // Everything else in a header follows from these, so comparing is the strictest check there is.
        if entry.header() != header {
            return Err(ArchiveError::Form {
                offset: at,
                reason: "a header field is not as path, kind and size demand",
            });
        }
        self.sequence.admit(&entry)?;
        self.content = entry.bytes();
        self.padding = padding(self.content);
        Ok(Some(entry))
    }

    /// Reads the rest of the present entry's content into memory. For content that may be long, read
    /// from the reader itself, which ends with the entry.
    ///
    /// # Errors
    /// [`ArchiveError::Form`] if the archive ends within it.
    pub fn read_content(&mut self) -> Result<Vec<u8>, ArchiveError> {
        // Not reserved up front: the length is a stranger's word until the bytes are there.
        let mut bytes = Vec::new();
        let expected = self.content;
        self.read_to_end(&mut bytes)
            .map_err(ArchiveError::io("archive"))?;
        if bytes.len() as u64 != expected {
            return Err(self.truncated());
        }
        Ok(bytes)
    }

    /// Number of entries so far.
    #[must_use]
    pub fn entries(&self) -> u32 {
        self.sequence.entries
    }

    /// Reads to the end and returns the number of entries: whether the whole is canonical.
    ///
    /// # Errors
    /// As [`Reader::next_entry`].
    pub fn check(mut self) -> Result<u32, ArchiveError> {
        while self.next_entry()?.is_some() {}
        Ok(self.sequence.entries)
    }

    fn truncated(&self) -> ArchiveError {
        ArchiveError::Form {
            offset: self.offset,
            reason: "the archive ends too early",
        }
    }

    fn block(&mut self) -> Result<[u8; BLOCK_BYTES], ArchiveError> {
        let mut block = [0; BLOCK_BYTES];
        self.exact(&mut block)?;
        Ok(block)
    }

    fn exact(&mut self, bytes: &mut [u8]) -> Result<(), ArchiveError> {
        match self.source.read_exact(bytes) {
            Ok(()) => {
                self.offset += bytes.len() as u64;
                Ok(())
            }
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Err(self.truncated())
            }
            Err(error) => Err(ArchiveError::io("archive")(error)),
        }
    }

    fn skip_content(&mut self) -> Result<(), ArchiveError> {
        std::io::copy(self, &mut std::io::sink()).map_err(ArchiveError::io("archive"))?;
        if self.content > 0 {
            return Err(self.truncated());
        }
        let mut zeros = [0; BLOCK_BYTES];
        let (at, count) = (self.offset, std::mem::take(&mut self.padding));
        self.exact(&mut zeros[..count])?;
        if zeros.iter().any(|&byte| byte != 0) {
            return Err(ArchiveError::Form {
                offset: at,
                reason: "the padding is not zero",
            });
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), ArchiveError> {
        let at = self.offset;
        if self.block()? != [0; BLOCK_BYTES] {
            return Err(ArchiveError::Form {
                offset: at,
                reason: "the second closing block is not zero",
            });
        }
        let rest = self
            .source
            .by_ref()
            .take(1)
            .read_to_end(&mut Vec::new())
            .map_err(ArchiveError::io("archive"))?;
        if rest > 0 {
            return Err(ArchiveError::Form {
                offset: self.offset,
                reason: "bytes follow the closing blocks",
            });
        }
        self.ended = true;
        Ok(())
    }
}

/// The present entry's content.
impl<R: Read> Read for Reader<R> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let most = usize::try_from(self.content)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        let read = self.source.read(&mut bytes[..most])?;
        self.content -= read as u64;
        self.offset += read as u64;
        Ok(read)
    }
}

/// Path, kind and size as a header says them.
fn parse(header: &[u8; BLOCK_BYTES]) -> Result<Entry, &'static str> {
    let text = |from: usize, to: usize| {
        let field = &header[from..to];
        let field = &field[..field
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(field.len())];
        std::str::from_utf8(field).map_err(|_| "a path is not UTF-8")
    };
    if &header[257..265] != b"ustar\x0000" {
        return Err("this is no ustar header");
    }
    let (name, prefix) = (text(0, 100)?, text(345, 500)?);
    let mut path = if prefix.is_empty() {
        name.to_owned()
    } else {
        format!("{prefix}/{name}")
    };
    let bytes = header[124..135]
        .iter()
        .try_fold(0, |value: u64, &digit| match digit {
            b'0'..=b'7' => Ok(value << 3 | u64::from(digit - b'0')),
            _ => Err("a size is not octal"),
        })?;
    let kind = match header[156] {
        b'0' => Kind::File { bytes },
        b'5' => {
            if path.pop() != Some('/') {
                return Err("a directory's path does not end in a slash");
            }
            Kind::EmptyDirectory
        }
        b'1' | b'2' => return Err("links are not accepted"),
        _ => return Err("only files and directories are accepted"),
    };
    Ok(Entry { path, kind })
}
