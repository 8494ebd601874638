//! Where a command's result, its progress and its errors go.

use std::io::{IsTerminal as _, Write};

use serde::Serialize;

use crate::args::Format;
use crate::failure::Failure;

/// The streams of a process; tests bring their own.
pub struct Console<'a> {
    /// The result, and nothing else.
    pub stdout: &'a mut dyn Write,
    /// Progress, questions and errors.
    pub stderr: &'a mut dyn Write,
    /// Whether somebody watches who can be asked and shown moving bars.
    pub interactive: bool,
    /// Whether errors may be coloured.
    pub colour: bool,
}

/// Calls `body` with the process's own streams.
pub(crate) fn with_process_streams<T>(body: impl FnOnce(&mut Console<'_>) -> T) -> T {
    let mut stdout = std::io::stdout().lock();
    let mut stderr = std::io::stderr();
    let interactive = std::io::stdin().is_terminal() && stderr.is_terminal();
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colour = stderr.is_terminal() && !no_colour;
    let mut console = Console {
        stdout: &mut stdout,
        stderr: &mut stderr,
        interactive,
        colour,
    };
    let result = body(&mut console);
    // A reader that has gone away wants no more, which is no failure.
    let _ = console.stdout.flush();
    result
}

/// A result that can be shown in every form.
pub(crate) trait Show: Serialize {
    /// The form for people.
    fn table(&self) -> String;
}

impl Console<'_> {
    /// Writes a result in the form that was asked for.
    pub(crate) fn result<T: Show>(&mut self, format: Format, value: &T) -> Result<(), Failure> {
        let text = match format {
            Format::Table => value.table(),
            Format::Json => json_line(value)?,
            Format::Yaml => serde_yaml_ng::to_string(value).map_err(Failure::internal)?,
        };
        let ending = if text.is_empty() || text.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        self.raw(format!("{text}{ending}").as_bytes())
    }

    /// Writes one of a series of results: a line of JSON, a YAML document, or a line for people.
    pub(crate) fn item<T: Show>(&mut self, format: Format, value: &T) -> Result<(), Failure> {
        if format == Format::Yaml {
            self.raw(b"---\n")?;
        }
        self.result(format, value)?;
        self.stdout.flush().or_else(ignore_broken_pipe)
    }

    /// Writes bytes as they are.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.stdout.write_all(bytes).or_else(ignore_broken_pipe)
    }

    /// A line on stderr.
    pub(crate) fn note(&mut self, text: &str) {
        // Nobody to tell is no failure.
        let _ = writeln!(self.stderr, "{text}");
    }

    /// An error, in the form that was asked for.
    pub(crate) fn failure(&mut self, format: Format, failure: &Failure) {
        if format == Format::Json {
            let body = serde_json::json!({ "error": failure.body() });
            self.note(&body.to_string());
            return;
        }
        let (red, plain) = if self.colour {
            ("\u{1b}[1;31m", "\u{1b}[0m")
        } else {
            ("", "")
        };
        self.note(&format!(
            "{red}error:{plain} [{}] {}",
            failure.code, failure.message
        ));
        if !failure.help.is_empty() {
            self.note(&format!("  help: {}", failure.help));
        }
    }
}

fn json_line<T: Serialize>(value: &T) -> Result<String, Failure> {
    serde_json::to_string(value).map_err(Failure::internal)
}

fn ignore_broken_pipe(error: std::io::Error) -> Result<(), Failure> {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(Failure::internal(error)),
    }
}

/// Columns of text, wide enough for what is in them.
///
/// ```text
/// ID        STATE    TASKS
/// 0x12ab…   running  3/10
/// ```
pub(crate) fn columns<const N: usize>(headers: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = headers.map(|header| header.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: [&str; N]| {
        let mut text = String::new();
        for (cell, width) in cells.iter().zip(widths) {
            text.push_str(&format!("{cell:<width$}  "));
        }
        format!("{}\n", text.trim_end())
    };
    let mut text = line(headers);
    for row in rows {
        text.push_str(&line(std::array::from_fn(|i| row[i].as_str())));
    }
    text
}

/// Lines of `name  value`.
pub(crate) fn pairs(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter()
        .map(|(name, value)| format!("{name:<width$}  {value}\n"))
        .collect()
}

/// A second of Unix time as UTC.
///
/// ```text
/// 2026-01-01 00:00:00
/// ```
pub(crate) fn utc(seconds: u64) -> String {
    // Howard Hinnant's civil_from_days: years begin in March, so that the leap day comes last.
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = match month {
        0..10 => (era * 400 + year_of_era, month + 3),
        _ => (era * 400 + year_of_era + 1, month - 9),
    };
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// The first and last digits of a long hash, for tables.
pub(crate) fn short(hash: &impl std::fmt::Display) -> String {
    let text = hash.to_string();
    match (text.get(..10), text.len()) {
        (Some(head), 11..) => format!("{head}…"),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_shown_as_its_day_and_time() {
        assert_eq!(utc(0), "1970-01-01 00:00:00");
        assert_eq!(utc(951_782_399), "2000-02-28 23:59:59");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00:00");
        assert_eq!(utc(1_767_225_599), "2025-12-31 23:59:59");
        assert_eq!(utc(4_107_542_400), "2100-03-01 00:00:00");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            ["long-name".to_owned(), "1".to_owned()],
            ["x".to_owned(), "22".to_owned()],
        ];
        assert_eq!(
            columns(["NAME", "N"], &rows),
            "NAME       N\nlong-name  1\nx          22\n"
        );
    }
}
