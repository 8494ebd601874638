//! What the functions of an image are called, for people: a program's name section, and the library's.

use std::collections::HashMap;

use wasmparser::{KnownCustom, Name, Parser, Payload, TypeRef};

use crate::guest;
use crate::link::{Accessor, HostOperation, RUN_EXPORT};
use crate::validate::LoadError;

/// Most characters of a name; the rest is cut off.
const CHARACTERS_MAX: usize = 120;

/// Names of an image's functions by their index in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionNames(Vec<String>);

impl FunctionNames {
    /// Names for what [`crate::link`] makes of `program`. Without a name section a function is
    /// `func[N]`, N being its index in the program, or `library[N]`.
    ///
    /// # Errors
    /// [`LoadError`] if the program is malformed.
    pub fn of(program: &[u8]) -> Result<Self, LoadError> {
        let mut names: Vec<String> = HostOperation::ALL
            .iter()
            .map(|host| host.name().to_owned())
            .collect();
        names.extend(defined(program, "func")?);
        names.extend(defined(guest::LIBRARY, "library")?);
        names.extend(
            HostOperation::ALL
                .iter()
                .map(|host| format!("call {}", host.name())),
        );
        names.extend(
            Accessor::ALL
                .iter()
                .map(|accessor| accessor.name().to_owned()),
        );
        names.push(RUN_EXPORT.to_owned());
        Ok(Self(names))
    }

    /// A function's name, without control characters; `?` if the image has no such function.
    #[must_use]
    pub fn get(&self, function: u32) -> &str {
        self.0.get(function as usize).map_or("?", String::as_str)
    }
}

/// Names of the functions that a module defines, in order.
fn defined(module: &[u8], unnamed: &str) -> Result<Vec<String>, LoadError> {
    let (mut imported, mut defined) = (0, 0);
    let mut names = HashMap::new();
    for payload in Parser::new(0).parse_all(module) {
        match payload? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    imported += u32::from(matches!(import?.ty, TypeRef::Func(_)));
                }
            }
            Payload::FunctionSection(section) => defined = section.count(),
            Payload::CustomSection(section) => {
                let KnownCustom::Name(section) = section.as_known() else {
                    continue;
                };
                // Names mean nothing to the machine, so a broken section is none.
                for name in section.into_iter().map_while(Result::ok) {
                    if let Name::Function(functions) = name {
                        names.extend(
                            functions
                                .into_iter()
                                .map_while(Result::ok)
                                .map(|n| (n.index, n.name)),
                        );
                    }
                }
            }
            _ => {}
        }
    }
    let name = |index: u32| match names.get(&index) {
        Some(name) => name
            .chars()
            .flat_map(char::escape_debug)
            .take(CHARACTERS_MAX)
            .collect(),
        None => format!("{unnamed}[{index}]"),
    };
    Ok((imported..imported + defined).map(name).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_function_has_the_name_that_the_program_gives_it() {
        let program = wat::parse_str(
            r#"(module
                (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
                (func $first) (func) (func (export "_start") call $first))"#,
        )
        .unwrap();
        let names = FunctionNames::of(&program).unwrap();
        assert_eq!(names.get(0), "read_input");
        assert_eq!(names.get(3), "first");
        assert_eq!(names.get(4), "func[2]");
        let image = crate::link(&program).unwrap();
        let machine = crate::machine::Program::flatten(&image).unwrap();
        let run = machine.function_at(machine.entry().entry).unwrap();
        assert_eq!(names.get(run), RUN_EXPORT);
        assert_eq!(names.get(run + 1), "?");
    }

    #[test]
    fn a_name_cannot_move_the_cursor() {
        let mut section = wasm_encoder::NameSection::new();
        let mut functions = wasm_encoder::NameMap::new();
        functions.append(0, "\u{1b}[2J");
        section.functions(&functions);
        let mut program = wat::parse_str(r#"(module (func (export "_start")))"#).unwrap();
        wasm_encoder::Section::append_to(&section, &mut program);
        assert_eq!(FunctionNames::of(&program).unwrap().get(3), "\\u{1b}[2J");
    }
}
