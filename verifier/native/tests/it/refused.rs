//! What does not load, and how the refusal names it.

use outcry_verifier::LoadError;

use crate::support::{link, link_bytes};

fn refusal(program: &str) -> String {
    link(program).unwrap_err().to_string()
}

#[test]
fn every_rejected_feature_is_refused_by_name_and_offset() {
    for (feature, body) in [
        (
            "simd",
            r#"(func (export "_start") (drop (i32x4.splat (i32.const 1))))"#,
        ),
        ("simd", r#"(func (param v128)) (func (export "_start"))"#),
        (
            "simd",
            r#"(func (param v128) (result v128) (i32x4.relaxed_trunc_f32x4_s (local.get 0))) (func (export "_start"))"#,
        ),
        ("threads", r#"(memory 1 1 shared) (func (export "_start"))"#),
        (
            "threads",
            r#"(memory 1) (func (export "_start") (drop (i32.atomic.load (i32.const 0))))"#,
        ),
        ("exceptions", r#"(tag) (func (export "_start"))"#),
        (
            "exceptions",
            r#"(func (export "_start") (block (try_table (catch_all 0))))"#,
        ),
        ("gc", r#"(type (struct)) (func (export "_start"))"#),
        (
            "gc",
            r#"(func (param (ref null struct))) (func (export "_start"))"#,
        ),
        (
            "gc-types",
            r#"(func (param externref)) (func (export "_start"))"#,
        ),
        (
            "function-references",
            r#"(type $t (func)) (func (param (ref $t))) (func (export "_start"))"#,
        ),
        ("memory64", r#"(memory i64 1) (func (export "_start"))"#),
        (
            "tail-call",
            r#"(func $f (export "_start") (return_call $f))"#,
        ),
        (
            "custom-page-sizes",
            r#"(memory 1 (pagesize 1)) (func (export "_start"))"#,
        ),
        (
            "wide-arithmetic",
            r#"(func (export "_start") (drop (drop (i64.mul_wide_u (i64.const 1) (i64.const 1)))))"#,
        ),
    ] {
        match link(&format!("(module {body})")) {
            Err(LoadError::Feature {
                feature: named,
                offset,
                ..
            }) => {
                assert!(named.contains(feature), "{body} is refused as `{named}`");
                assert!(offset >= 8, "{body} at {offset}");
            }
            other => panic!("{body}: {other:?}"),
        }
    }
    let component = wat::parse_str("(component)").unwrap();
    assert!(
        matches!(link_bytes(&component), Err(LoadError::Feature { feature, .. }) if feature == "component-model")
    );
}

#[test]
fn unknown_imports_and_wrong_types_are_refused_by_name_and_offset() {
    assert!(
        refusal(r#"(module (import "env" "f" (func)) (func (export "_start")))"#)
            .contains("unknown import `env` `f` (at offset 0x")
    );
    assert!(
        refusal(r#"(module (import "wasi_snapshot_preview1" "fd_dance" (func)) (func (export "_start")))"#)
            .contains("`fd_dance`")
    );
    // The library's own entries are not for programs.
    assert!(
        refusal(r#"(module (import "wasi_snapshot_preview1" "outcry_exit" (func (param i32))) (func (export "_start")))"#)
            .contains("unknown import")
    );
    assert!(
        refusal(r#"(module (import "outcry" "exit" (func (param i32))) (func (export "_start")))"#)
            .contains("unknown import")
    );
    assert!(
        refusal(r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func (param i64))) (func (export "_start")))"#)
            .contains("has type (i64) -> (), not (i32) -> ()")
    );
    for item in ["(memory 1)", "(table 1 funcref)", "(global i32)"] {
        assert!(
            refusal(&format!(
                r#"(module (import "env" "x" {item}) (func (export "_start")))"#
            ))
            .contains("unknown import")
        );
    }
}

#[test]
fn programs_without_an_entry_or_with_segments_out_of_bounds_are_refused() {
    assert!(matches!(
        link("(module)"),
        Err(LoadError::NoEntry { name: "_start" })
    ));
    assert!(matches!(
        link(r#"(module (func (export "_start") (param i32)))"#),
        Err(LoadError::NoEntry { .. })
    ));
    let data = r#"(module (memory 1) (data (i32.const 65535) "ab") (func (export "_start")))"#;
    assert!(matches!(
        link(data),
        Err(LoadError::SegmentOutOfBounds { kind: "data", .. })
    ));
    let extended = r#"(module (memory 1) (data (i32.add (i32.const 65000) (i32.const 535)) "a") (func (export "_start")))"#;
    assert!(link(extended).is_ok());
    let element =
        r#"(module (table 1 funcref) (elem (i32.const 1) $f) (func $f (export "_start")))"#;
    assert!(matches!(
        link(element),
        Err(LoadError::SegmentOutOfBounds {
            kind: "element",
            ..
        })
    ));
}

#[test]
fn malformed_bytes_are_refused_with_the_offset() {
    let module = wat::parse_str(
        r#"(module (memory 1) (func (export "_start") (i32.store (i32.const 0) (i32.const 1))))"#,
    )
    .unwrap();
    assert!(matches!(
        link_bytes(b"not wasm"),
        Err(LoadError::Malformed { .. })
    ));
    for length in 0..module.len() {
        assert!(
            link_bytes(&module[..length]).is_err(),
            "the first {length} bytes load"
        );
    }
    for at in 8..module.len() {
        for bit in 0..8 {
            let mut damaged = module.clone();
            damaged[at] ^= 1 << bit;
            // Any answer but a panic is right.
            let _ = link_bytes(&damaged);
        }
    }
}

#[test]
fn limits_of_the_loader_are_named() {
    let targets = "0 ".repeat(40_000);
    let limit = |program: &str| match link(program) {
        Err(LoadError::Limit { what, .. }) => what,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("the program links"),
    };
    let start = r#"(func (export "_start"))"#;
    assert_eq!(
        limit(&format!(
            "(module (func (br_table {targets} 0 (i32.const 0))) {start})"
        )),
        "targets of a br_table"
    );
    let parameters = "i32 ".repeat(200);
    assert_eq!(
        limit(&format!("(module (func (param {parameters})) {start})")),
        "parameters"
    );
    assert_eq!(
        limit(&format!(
            "(module (func (result {parameters}) unreachable) {start})"
        )),
        "results"
    );
    let locals = "i64 ".repeat(40_000);
    assert_eq!(
        limit(&format!("(module (func (local {locals})) {start})")),
        "locals of a function"
    );
    let nops = "nop ".repeat(800_000);
    assert_eq!(
        limit(&format!("(module (func {nops}) {start})")),
        "bytes of a function"
    );
    assert_eq!(
        limit(&format!("(module (table 2000000 funcref) {start})")),
        "entries of a table"
    );
    let memories = "(memory 0)".repeat(16);
    assert_eq!(limit(&format!("(module {memories} {start})")), "memories");
    let blocks = format!("{}{}", "block ".repeat(5000), "end ".repeat(5000));
    assert_eq!(
        limit(&format!("(module (func {blocks}) {start})")),
        "nested blocks"
    );
}

#[test]
fn linking_is_deterministic_and_the_image_has_the_stated_form() {
    let program = r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func (param i32))) (memory 1) (func (export "_start")))"#;
    let (a, b) = (link(program).unwrap(), link(program).unwrap());
    assert_eq!((a.module(), a.root()), (b.module(), b.root()));
    // A change of this root is a new machine version: every provider must link the same bytes.
    assert_eq!(
        a.root().to_string(),
        "0x16d50fff70ab1df9518f017c848f637717656e86193074a6af12752b915983b7"
    );
    let mut imports = Vec::new();
    let mut exports = Vec::new();
    for payload in wasmparser::Parser::new(0).parse_all(a.module()) {
        match payload.unwrap() {
            wasmparser::Payload::ImportSection(section) => {
                imports.extend(
                    section
                        .into_imports()
                        .map(|import| import.unwrap().name.to_owned()),
                );
            }
            wasmparser::Payload::ExportSection(section) => {
                exports.extend(
                    section
                        .into_iter()
                        .map(|export| export.unwrap().name.to_owned()),
                );
            }
            wasmparser::Payload::StartSection { .. } | wasmparser::Payload::CustomSection(_) => {
                panic!("not in an image")
            }
            _ => {}
        }
    }
    assert_eq!(imports, ["read_input", "append_output", "exit"]);
    assert_eq!(exports, ["run"]);
}
