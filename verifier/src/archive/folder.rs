//! Folders of the caller's file system: packed below a path of an archive, and unpacked safely.
//!
//! The only place of this crate that touches files; it follows no links, in neither direction.

use std::ffi::OsString;
use std::fs::{self, File, FileType};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use super::output::{Part, part};
use super::{ArchiveError, Kind, Reader, Writer};

/// Appends all files of a folder below `prefix` (such as `in`), in canonical order.
///
/// # Errors
/// [`ArchiveError::Source`] for links, devices and names that are not UTF-8, which are refused rather
/// than left out; paths that do not fit an archive; reading errors.
pub fn append<W: Write>(
    archive: &mut Writer<W>,
    prefix: &str,
    folder: &Path,
) -> Result<(), ArchiveError> {
    // A stack in reverse order instead of recursion: depth is a stranger's choice.
    let mut pending = children(prefix, folder)?;
    if pending.is_empty() {
        return Ok(());
    }
    while let Some(Child { path, source, kind }) = pending.pop() {
        if kind.is_dir() {
            let inner = children(&path, &source)?;
            if inner.is_empty() {
                archive.empty_directory(&path)?;
            }
            pending.extend(inner);
        } else {
            let file =
                File::open(&source).map_err(ArchiveError::io(source.display().to_string()))?;
            let bytes = file
                .metadata()
                .map_err(ArchiveError::io(source.display().to_string()))?
                .len();
            archive.file_from(&path, bytes, file)?;
        }
    }
    Ok(())
}

struct Child {
    /// Path in the archive, without trailing slash.
    path: String,
    source: PathBuf,
    kind: FileType,
}

/// A folder's children, last first.
fn children(prefix: &str, folder: &Path) -> Result<Vec<Child>, ArchiveError> {
    let context = || folder.display().to_string();
    let mut list = Vec::new();
    for item in fs::read_dir(folder).map_err(ArchiveError::io(context()))? {
        let item = item.map_err(ArchiveError::io(context()))?;
        let kind = item.file_type().map_err(ArchiveError::io(context()))?;
        let source = item.path();
        if !kind.is_dir() && !kind.is_file() {
            let reason = "only files and folders can be packed; replace the link by what it names";
            return Err(ArchiveError::Source {
                path: source,
                reason,
            });
        }
        let name = item
            .file_name()
            .into_string()
            .map_err(|_: OsString| ArchiveError::Source {
                path: source.clone(),
                reason: "the name is not UTF-8",
            })?;
        list.push(Child {
            path: format!("{prefix}/{name}"),
            source,
            kind,
        });
    }
    let key = |child: &Child| {
        format!(
            "{}{}",
            child.path,
            if child.kind.is_dir() { "/" } else { "" }
        )
    };
    list.sort_by_cached_key(|child| std::cmp::Reverse(key(child)));
    Ok(list)
}

/// Unpacks an output archive: what lies below `out/` into `folder`, which is created if missing.
/// Standard output and error go to the two writers. Files that exist are replaced; nothing is written
/// through a link, and nothing outside of `folder`.
///
/// Guards against what is in the archive and against links that are there already, not against somebody
/// who changes `folder` at the same time.
///
/// # Errors
/// [`ArchiveError::Source`] if a link, or a folder in place of a file, is in the way; a form or layout
/// that is not an output archive's; writing errors. What was unpacked until then stays.
pub fn unpack_output<R: Read>(
    archive: R,
    folder: &Path,
    stdout: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Result<(), ArchiveError> {
    let mut reader = Reader::new(archive);
    fs::create_dir_all(folder).map_err(ArchiveError::io(folder.display().to_string()))?;
    while let Some(entry) = reader.next_entry()? {
        let copied = match part(entry)? {
            Part::Stdout(bytes) => copy(&mut reader, stdout, bytes, "stdout"),
            Part::Stderr(bytes) => copy(&mut reader, stderr, bytes, "stderr"),
            Part::Out(entry) => {
                let mut target = folder.to_owned();
                // The reader has checked the path: every part is an ordinary name.
                let (parents, name) = match (entry.path.rsplit_once('/'), entry.kind) {
                    (_, Kind::EmptyDirectory) => (entry.path.as_str(), ""),
                    (Some((parents, name)), Kind::File { .. }) => (parents, name),
                    (None, Kind::File { .. }) => ("", entry.path.as_str()),
                };
                for part in parents.split('/').filter(|part| !part.is_empty()) {
                    target.push(part);
                    make_folder(&target)?;
                }
                match entry.kind {
                    Kind::EmptyDirectory => Ok(()),
                    Kind::File { bytes } => {
                        target.push(name);
                        let mut file = replace_file(&target)?;
                        copy(&mut reader, &mut file, bytes, &target.display().to_string())
                    }
                }
            }
        };
        copied?;
    }
    Ok(())
}

fn copy(
    from: &mut impl Read,
    to: &mut dyn Write,
    bytes: u64,
    context: &str,
) -> Result<(), ArchiveError> {
    let copied = std::io::copy(from, to).map_err(ArchiveError::io(context))?;
    if copied != bytes {
        return Err(ArchiveError::Length {
            path: context.to_owned(),
            announced: bytes,
        });
    }
    Ok(())
}

fn make_folder(path: &Path) -> Result<(), ArchiveError> {
    match fs::symlink_metadata(path) {
        Ok(present) if present.is_dir() => Ok(()),
        Ok(_) => Err(in_the_way(path)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            fs::create_dir(path).map_err(ArchiveError::io(path.display().to_string()))
        }
        Err(error) => Err(ArchiveError::io(path.display().to_string())(error)),
    }
}

fn replace_file(path: &Path) -> Result<File, ArchiveError> {
    let context = || path.display().to_string();
    match fs::symlink_metadata(path) {
        Ok(present) if present.is_file() => {
            fs::remove_file(path).map_err(ArchiveError::io(context()))?
        }
        Ok(_) => return Err(in_the_way(path)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(ArchiveError::io(context())(error)),
    }
    // `create_new` opens nothing that exists, and so no link either.
    File::create_new(path).map_err(ArchiveError::io(context()))
}

fn in_the_way(path: &Path) -> ArchiveError {
    ArchiveError::Source {
        path: path.to_owned(),
        reason: "a link or something of another kind is in the way",
    }
}
