//! Where a run reads its input archive and writes its output archive.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// The input archive: bytes by offset. Must give the same bytes at every call.
pub trait Input: Send + 'static {
    /// Fills the start of `buffer` from `offset`; returns how many bytes there are, fewer than asked
    /// for at the end of the archive only, 0 beyond it.
    ///
    /// # Errors
    /// The medium's.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
}

impl<T: AsRef<[u8]> + Send + 'static> Input for T {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.as_ref();
        let start = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        let count = buffer.len().min(bytes.len() - start);
        buffer[..count].copy_from_slice(&bytes[start..start + count]);
        Ok(count)
    }
}

/// The output archive, written once from start to end, but perhaps started over: the exact variant
/// runs from the start after a trap in the fast one.
pub trait Output: Send + 'static {
    /// Appends bytes.
    ///
    /// # Errors
    /// The medium's.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Forgets everything that was appended.
    ///
    /// # Errors
    /// The medium's.
    fn restart(&mut self) -> io::Result<()>;
}

impl Output for Vec<u8> {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.extend_from_slice(bytes);
        Ok(())
    }

    fn restart(&mut self) -> io::Result<()> {
        self.clear();
        Ok(())
    }
}

impl Output for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn restart(&mut self) -> io::Result<()> {
        self.set_len(0)?;
        self.seek(SeekFrom::Start(0)).map(|_| ())
    }
}

/// A file as an input archive.
#[derive(Debug)]
pub struct InputFile(std::sync::Mutex<File>);

impl InputFile {
    /// Reads from `file`, whose position is the reader's own from now on.
    #[must_use]
    pub fn new(file: File) -> Self {
        Self(std::sync::Mutex::new(file))
    }
}

/// What a run reads: either of the two kinds of archives behind one type.
#[derive(Debug)]
pub enum Archive {
    /// In memory.
    Bytes(Vec<u8>),
    /// In a file.
    File(InputFile),
}

impl Input for Archive {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Bytes(bytes) => bytes.read_at(offset, buffer),
            Self::File(InputFile(file)) => {
                let mut file = file
                    .lock()
                    .map_err(|_| io::Error::other("the archive's reader panicked"))?;
                file.seek(SeekFrom::Start(offset))?;
                let mut count = 0;
                while count < buffer.len() {
                    match file.read(&mut buffer[count..])? {
                        0 => break,
                        read => count += read,
                    }
                }
                Ok(count)
            }
        }
    }
}
