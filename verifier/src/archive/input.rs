//! Input archives: what a task is given.
//!
//! | path | is |
//! | --- | --- |
//! | `.outcry/args` | the arguments, each closed by a NUL; the first is the program's name |
//! | `.outcry/env` | the environment as `NAME=value`, each closed by a NUL; `OUTCRY_TASK` and `OUTCRY_TASKS` are added inside the machine |
//! | `.outcry/stdin` | standard input; may be missing |
//! | `app/` | the program's own files, such as a script; mounted as `/app` |
//! | `in/` | the task's input; mounted as `/in` |

use std::collections::BTreeMap;
use std::io::{Read, Write};

use super::{ArchiveError, ENTRIES_MAX, Entry, Kind, Reader, Writer};

/// Most bytes of the arguments, and of the environment.
pub const STRINGS_BYTES_MAX: u64 = 1 << 20;
/// Most bytes of standard input, which is held in memory; what is longer belongs in `in/`.
pub const STDIN_BYTES_MAX: u64 = 1 << 24;
/// Variables that the machine sets; a job cannot.
const RESERVED: [&str; 2] = ["OUTCRY_TASK", "OUTCRY_TASKS"];

const ARGUMENTS: &str = ".outcry/args";
const ENVIRONMENT: &str = ".outcry/env";
const STDIN: &str = ".outcry/stdin";

/// How the program is started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Invocation {
    /// Arguments; the first is the program's name.
    pub args: Vec<String>,
    /// Environment variables, without those that the machine sets.
    pub env: BTreeMap<String, String>,
    /// Standard input; empty if `None`.
    pub stdin: Option<Vec<u8>>,
}

impl Invocation {
    /// Writes the first entries of an input archive; `app/` and `in/` follow, in this order.
    ///
    /// # Errors
    /// [`ArchiveError::Layout`] for strings that contain a NUL, variables without a name or with one that
    /// the machine sets, and more than [`STRINGS_BYTES_MAX`] or [`STDIN_BYTES_MAX`].
    pub fn write<W: Write>(&self, archive: &mut Writer<W>) -> Result<(), ArchiveError> {
        let env: Vec<_> = self
            .env
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        archive.file(ARGUMENTS, &strings(ARGUMENTS, &self.args)?)?;
        archive.file(ENVIRONMENT, &strings(ENVIRONMENT, &env)?)?;
        for variable in &env {
            check_variable(variable)?;
        }
        if self.env.keys().any(|name| name.contains('=')) {
            return Err(layout(ENVIRONMENT, "a variable's name contains `=`"));
        }
        match &self.stdin {
            Some(stdin) => {
                limit_stdin(Kind::File {
                    bytes: stdin.len() as u64,
                })?;
                archive.file(STDIN, stdin)
            }
            None => Ok(()),
        }
    }

    /// The input archive of this invocation and some files (path below the archive's root to content).
    ///
    /// # Errors
    /// As [`Invocation::write`], and for paths outside of `app/` and `in/`.
    pub fn archive(&self, files: &BTreeMap<String, Vec<u8>>) -> Result<Vec<u8>, ArchiveError> {
        let mut archive = Writer::new(Vec::new());
        self.write(&mut archive)?;
        for (path, content) in files {
            mounted(path)?;
            archive.file(path, content)?;
        }
        archive.finish()
    }
}

/// Checks that an archive is canonical and laid out as an input: what a provider does before it relies
/// on a task. Returns how the program is started and the number of entries below `app/` and `in/`.
///
/// # Errors
/// [`ArchiveError`] with the entry or offset that is wrong.
pub fn check(archive: impl Read) -> Result<(Invocation, u32), ArchiveError> {
    let mut reader = Reader::new(archive);
    let mut invocation = Invocation::default();
    let (mut seen_args, mut seen_env, mut files) = (false, false, 0);
    while let Some(entry) = reader.next_entry()? {
        if reader.entries() > ENTRIES_MAX {
            return Err(ArchiveError::TooManyEntries);
        }
        match entry.path.as_str() {
            ARGUMENTS => {
                invocation.args = read_strings(&mut reader, &entry)?;
                seen_args = true;
            }
            ENVIRONMENT => {
                for variable in read_strings(&mut reader, &entry)? {
                    let (name, value) = check_variable(&variable)?;
                    if invocation
                        .env
                        .insert(name.to_owned(), value.to_owned())
                        .is_some()
                    {
                        return Err(layout(ENVIRONMENT, "a variable is set twice"));
                    }
                }
                seen_env = true;
            }
            STDIN => {
                limit_stdin(entry.kind)?;
                invocation.stdin = Some(reader.read_content()?);
            }
            path => {
                mounted(path)?;
                files += 1;
            }
        }
    }
    if !seen_args || !seen_env {
        let missing = if seen_args { ENVIRONMENT } else { ARGUMENTS };
        return Err(layout(missing, "every input archive has this entry"));
    }
    Ok((invocation, files))
}

fn layout(path: &str, reason: &'static str) -> ArchiveError {
    ArchiveError::Layout {
        path: path.to_owned(),
        reason,
    }
}

fn limit_stdin(kind: Kind) -> Result<(), ArchiveError> {
    match kind {
        Kind::File { bytes } if bytes <= STDIN_BYTES_MAX => Ok(()),
        Kind::File { .. } => Err(layout(STDIN, "more than 16 MiB of standard input")),
        Kind::EmptyDirectory => Err(layout(STDIN, "this is a directory")),
    }
}

fn mounted(path: &str) -> Result<(), ArchiveError> {
    if path.starts_with("app/") || path.starts_with("in/") {
        return Ok(());
    }
    Err(layout(
        path,
        "an input archive holds files below app/ and in/ only",
    ))
}

fn strings(path: &str, list: &[String]) -> Result<Vec<u8>, ArchiveError> {
    let mut bytes = Vec::new();
    for text in list {
        if text.contains('\0') {
            return Err(layout(path, "a string contains a NUL"));
        }
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
    }
    if bytes.len() as u64 > STRINGS_BYTES_MAX {
        return Err(layout(path, "more than 1 MiB of strings"));
    }
    Ok(bytes)
}

fn read_strings<R: Read>(
    reader: &mut Reader<R>,
    entry: &Entry,
) -> Result<Vec<String>, ArchiveError> {
    match entry.kind {
        Kind::File { bytes } if bytes <= STRINGS_BYTES_MAX => {}
        Kind::File { .. } => return Err(layout(&entry.path, "more than 1 MiB of strings")),
        Kind::EmptyDirectory => return Err(layout(&entry.path, "this is a directory")),
    }
    let text = String::from_utf8(reader.read_content()?)
        .map_err(|_| layout(&entry.path, "a string is not UTF-8"))?;
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let Some(text) = text.strip_suffix('\0') else {
        return Err(layout(
            &entry.path,
            "the last string is not closed by a NUL",
        ));
    };
    Ok(text.split('\0').map(str::to_owned).collect())
}

fn check_variable(variable: &str) -> Result<(&str, &str), ArchiveError> {
    match variable.split_once('=') {
        None | Some(("", _)) => Err(layout(ENVIRONMENT, "a variable has no name")),
        Some((name, _)) if RESERVED.contains(&name) => Err(layout(
            ENVIRONMENT,
            "OUTCRY_TASK and OUTCRY_TASKS are set by the machine",
        )),
        Some(pair) => Ok(pair),
    }
}
