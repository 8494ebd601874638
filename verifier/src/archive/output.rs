//! Output archives: what a task leaves. `out/` holds what it wrote to `/out`, `stderr` and `stdout` are
//! always there; in the order of their bytes.

use std::io::Read;

use super::{ArchiveError, Entry, Kind, Reader};

/// A part of a task's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// A file or empty directory of `/out`; the path is below `/out`.
    Out(Entry),
    /// Standard error, with its length in bytes.
    Stderr(u64),
    /// Standard output, with its length in bytes.
    Stdout(u64),
}

/// What an entry of an output archive is.
///
/// # Errors
/// [`ArchiveError::Layout`] for an entry that no output archive has.
pub fn part(entry: Entry) -> Result<Part, ArchiveError> {
    match (entry.path.as_str(), entry.kind) {
        ("stderr", Kind::File { bytes }) => Ok(Part::Stderr(bytes)),
        ("stdout", Kind::File { bytes }) => Ok(Part::Stdout(bytes)),
        (path, kind) => match path.strip_prefix("out/") {
            Some(below) => Ok(Part::Out(Entry {
                path: below.to_owned(),
                kind,
            })),
            None => Err(ArchiveError::Layout {
                path: path.to_owned(),
                reason: "an output archive holds stderr, stdout and files below out/ only",
            }),
        },
    }
}

/// Checks that an archive is canonical and laid out as an output. Returns its number of entries.
///
/// # Errors
/// [`ArchiveError`] with the entry or offset that is wrong.
pub fn check(archive: impl Read) -> Result<u32, ArchiveError> {
    let mut reader = Reader::new(archive);
    let (mut entries, mut streams) = (0, 0);
    while let Some(entry) = reader.next_entry()? {
        streams += u32::from(!matches!(part(entry)?, Part::Out(_)));
        entries += 1;
    }
    if streams != 2 {
        return Err(ArchiveError::Layout {
            path: "stderr, stdout".to_owned(),
            reason: "every output archive has both",
        });
    }
    Ok(entries)
}
