//! Input and output archives: POSIX ustar files in one canonical form.
//!
//! An archive is hashed into the job or into a claim, so the same content must give the same bytes
//! everywhere. The form, which `verifier/guest/src/archive.c` states a second time inside the machine:
//!
//! - Entries ascend strictly by the bytes of their paths; a directory's path ends in `/`. A directory
//!   has an entry only if it is empty; all others follow from what lies in them.
//! - A path is UTF-8 of at most 255 bytes, its parts are neither empty nor `.` nor `..`, at most 255
//!   bytes long and free of NUL. It must fit the header: up to 100 bytes in `name`; longer ones are cut
//!   at the last slash that leaves at most 155 bytes for `prefix`, and the rest must fit `name`.
//! - Header fields follow from path, kind and size: mode 0644 (0755 for directories), owner, group, time
//!   and device numbers 0, names empty, typeflag `0` or `5`, no links; numbers are octal with leading
//!   zeros and a closing NUL, the checksum six digits, NUL, space.
//! - Content is padded with zeros to 512 bytes; two zero blocks end the archive and nothing follows.
//!
//! `tar --format=ustar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner` writes nearly that.
//!
//! | module | one idea |
//! | --- | --- |
//! | [`reader`] | a stream of entries; refuses every other form at its offset |
//! | [`writer`] | writes that form, entry by entry |
//! | [`input`] | what a task is given: arguments, environment, stdin, `app/`, `in/` |
//! | [`output`] | what a task leaves: `out/`, stderr, stdout |
//! | [`folder`] | to and from a folder of the caller's file system |

pub mod folder;
pub mod input;
pub mod output;
pub mod reader;
pub mod writer;

pub use reader::Reader;
pub use writer::Writer;

/// Bytes of a block: headers and content are multiples of it.
pub const BLOCK_BYTES: usize = 512;
/// Most bytes of a path, trailing slash included: what `prefix` and `name` of a header hold.
pub const PATH_BYTES_MAX: usize = 255;
/// Most bytes of one file: 11 octal digits, 8 GiB - 1.
pub const FILE_BYTES_MAX: u64 = 0o77_777_777_777;
/// Most entries of an input archive: the machine mounts each with one read of its header. An output
/// archive may have as many as the job's output limit has room for.
pub const ENTRIES_MAX: u32 = 1 << 18;

const NAME_BYTES: usize = 100;
const PREFIX_BYTES: usize = 155;

/// Why an archive could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A path that no archive can hold; rename the file.
    #[error("`{path}`: {reason}")]
    Path {
        /// The path.
        path: String,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// Entries must ascend by the bytes of their paths.
    #[error("`{path}` may not follow `{previous}`: entries ascend by the bytes of their paths")]
    Order {
        /// The later entry.
        path: String,
        /// The earlier entry.
        previous: String,
    },
    /// A path leads through something that is a file, or through a directory that was said to be empty.
    #[error("`{path}` lies below `{parent}`, which is a file or an empty directory")]
    BelowFile {
        /// The entry.
        path: String,
        /// What it lies below.
        parent: String,
    },
    /// A file is longer than a header can say.
    #[error("`{path}` has {bytes} bytes, the most is {FILE_BYTES_MAX}")]
    FileTooLong {
        /// The entry.
        path: String,
        /// Its length.
        bytes: u64,
    },
    /// Too many entries; pack small files together.
    #[error("an input archive has at most {ENTRIES_MAX} entries")]
    TooManyEntries,
    /// A file's content is not as long as announced, because it changed while it was read.
    #[error("`{path}` was announced with {announced} bytes and has another length; try again")]
    Length {
        /// The entry.
        path: String,
        /// The length in its header.
        announced: u64,
    },
    /// The bytes are not a canonical archive.
    #[error("not a canonical archive: {reason} at byte {offset}")]
    Form {
        /// Where.
        offset: u64,
        /// What is wrong there.
        reason: &'static str,
    },
    /// The archive holds something that an input or output archive may not hold.
    #[error("`{path}`: {reason}")]
    Layout {
        /// The entry.
        path: String,
        /// Which rule it breaks.
        reason: &'static str,
    },
    /// A file of the caller's that cannot be packed or replaced: a link, a device, a name that is not
    /// UTF-8.
    #[error("{}: {reason}", path.display())]
    Source {
        /// The file.
        path: std::path::PathBuf,
        /// Why not.
        reason: &'static str,
    },
    /// Reading or writing failed.
    #[error("{context}: {source}")]
    Io {
        /// What was being read or written.
        context: String,
        /// The failure.
        source: std::io::Error,
    },
}

impl ArchiveError {
    fn io(context: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let context = context.into();
        move |source| Self::Io { context, source }
    }
}

/// A member of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A file of that many bytes.
    File {
        /// Length in bytes.
        bytes: u64,
    },
    /// A directory without children.
    EmptyDirectory,
}

/// An entry: a path without trailing slash, and what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Path below the archive's root, parts separated by `/`.
    pub path: String,
    /// File or empty directory.
    pub kind: Kind,
}

impl Entry {
    /// The path as it stands in the archive: a directory's ends in a slash.
    fn archived_path(&self) -> String {
        match self.kind {
            Kind::File { .. } => self.path.clone(),
            Kind::EmptyDirectory => format!("{}/", self.path),
        }
    }

    fn bytes(&self) -> u64 {
        match self.kind {
            Kind::File { bytes } => bytes,
            Kind::EmptyDirectory => 0,
        }
    }

    /// Checks path and size against the canonical form.
    fn check(&self) -> Result<(), ArchiveError> {
        let reason = if self.path.len() > PATH_BYTES_MAX {
            "paths have at most 255 bytes"
        } else if self
            .path
            .split('/')
            .any(|part| part.is_empty() || part == "." || part == "..")
        {
            "a part of the path is empty, `.` or `..`"
        } else if self.path.contains('\0') {
            "the path contains a NUL"
        } else if split(&self.archived_path()).is_none() {
            "ustar cannot hold the path: shorten its last part to 100 bytes and the folders to 155"
        } else {
            return if self.bytes() > FILE_BYTES_MAX {
                Err(ArchiveError::FileTooLong {
                    path: self.path.clone(),
                    bytes: self.bytes(),
                })
            } else {
                Ok(())
            };
        };
        Err(ArchiveError::Path {
            path: self.path.clone(),
            reason,
        })
    }

    /// The one header of this entry.
    ///
    /// The entry must have passed [`Entry::check`].
    fn header(&self) -> [u8; BLOCK_BYTES] {
        let mut header = [0; BLOCK_BYTES];
        let path = self.archived_path();
        let (prefix, name) = split(&path).unwrap_or(("", ""));
        let (mode, typeflag) = match self.kind {
            Kind::File { .. } => (0o644, b'0'),
            Kind::EmptyDirectory => (0o755, b'5'),
        };
        header[..name.len()].copy_from_slice(name.as_bytes());
        octal(&mut header[100..107], mode);
        octal(&mut header[108..115], 0);
        octal(&mut header[116..123], 0);
        octal(&mut header[124..135], self.bytes());
        octal(&mut header[136..147], 0);
        header[148..156].fill(b' ');
        header[156] = typeflag;
        header[257..265].copy_from_slice(b"ustar\x0000");
        octal(&mut header[329..336], 0);
        octal(&mut header[337..344], 0);
        header[345..345 + prefix.len()].copy_from_slice(prefix.as_bytes());
        let sum: u64 = header.iter().map(|&byte| u64::from(byte)).sum();
        octal(&mut header[148..154], sum);
        header[154] = 0;
        header
    }
}

/// Cuts a path into prefix and name; `None` if no slash will do.
fn split(path: &str) -> Option<(&str, &str)> {
    if path.len() <= NAME_BYTES {
        return Some(("", path));
    }
    let reach = (path.len() - 1).min(PREFIX_BYTES + 1);
    let cut = path.as_bytes()[..reach]
        .iter()
        .rposition(|&byte| byte == b'/')?;
    let (prefix, name) = (&path[..cut], &path[cut + 1..]);
    (cut > 0 && name.len() <= NAME_BYTES).then_some((prefix, name))
}

/// Writes a number with leading zeros over the whole field.
fn octal(field: &mut [u8], mut value: u64) {
    for digit in field.iter_mut().rev() {
        *digit = b'0' + (value & 7) as u8;
        value >>= 3;
    }
}

/// Zero bytes between the end of a file's content and the next block.
fn padding(bytes: u64) -> usize {
    (BLOCK_BYTES - (bytes % BLOCK_BYTES as u64) as usize) % BLOCK_BYTES
}

/// Checks the sequence of entries: ascending, nothing below a file.
#[derive(Debug, Default)]
struct Sequence {
    /// Entries of which the last path is an extension, and the last path itself.
    open: Vec<String>,
    last: String,
    entries: u32,
}

impl Sequence {
    fn admit(&mut self, entry: &Entry) -> Result<(), ArchiveError> {
        let archived = entry.archived_path();
        if self.entries > 0 && archived <= self.last {
            return Err(ArchiveError::Order {
                path: archived,
                previous: std::mem::take(&mut self.last),
            });
        }
        // Paths that begin with an earlier path follow it without a gap, so a stack suffices.
        while self
            .open
            .last()
            .is_some_and(|open| !archived.starts_with(open.as_str()))
        {
            self.open.pop();
        }
        if let Some(parent) = self
            .open
            .iter()
            .find(|open| archived[open.len()..].starts_with('/'))
        {
            return Err(ArchiveError::BelowFile {
                path: archived,
                parent: parent.clone(),
            });
        }
        self.open.push(entry.path.clone());
        self.last = archived;
        self.entries = self.entries.saturating_add(1);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
