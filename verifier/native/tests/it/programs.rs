//! Programs compiled from C, with the library of this machine version, against the reference.

use std::collections::BTreeMap;
use std::path::PathBuf;

use outcry_native::{Engine, Task};
use outcry_protocol::status::Status;
use outcry_verifier::archive::input::Invocation;
use outcry_verifier::task::RunLimits;
use outcry_verifier::{Image, link};

use crate::differential::check;
use crate::reference::{self, Reference};
use crate::support::{engine, header, run_with};

const LIMITS: RunLimits = RunLimits {
    cycles: 200_000_000,
    pages: 1024,
    slots: 1 << 20,
    output_bytes: 1 << 20,
};

fn image(name: &str) -> Image {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testnet/programs");
    link(&std::fs::read(folder.join(name)).unwrap()).unwrap()
}

fn archive(args: &[&str]) -> Vec<u8> {
    let files = [("in/a.txt", "alpha\n"), ("in/sub/b.txt", "beta\n")];
    let files: BTreeMap<String, Vec<u8>> = files
        .map(|(path, text)| (path.to_owned(), text.into()))
        .into();
    let args = args.iter().map(|arg| (*arg).to_owned()).collect();
    Invocation {
        args,
        ..Invocation::default()
    }
    .archive(&files)
    .unwrap()
}

#[test]
fn programs_of_c_end_alike_in_both_variants_and_the_reference() {
    let (native, slow) = (Engine::new().unwrap(), reference::engine());
    for (name, args) in [
        ("libc.wasm", vec!["libc", "x"]),
        ("files.wasm", vec!["files"]),
    ] {
        let image = image(name);
        let (compiled, reference) = (
            native.compile(&image).unwrap(),
            Reference::new(&slow, &image),
        );
        let input = archive(&args);
        let full = check(&compiled, &reference, LIMITS, &input);
        assert_eq!(full.status, Status::Exited, "{name}");
        assert!(!full.output.is_empty(), "{name}");
        for cycles in [
            full.cycles - 1,
            full.cycles,
            full.cycles / 2,
            full.cycles / 10,
        ] {
            check(
                &compiled,
                &reference,
                RunLimits { cycles, ..LIMITS },
                &input,
            );
        }
        for output_bytes in [full.output.len() as u64 - 1, full.output.len() as u64] {
            check(
                &compiled,
                &reference,
                RunLimits {
                    output_bytes,
                    ..LIMITS
                },
                &input,
            );
        }
        check(
            &compiled,
            &reference,
            RunLimits {
                slots: 700,
                ..LIMITS
            },
            &input,
        );
    }
}

#[test]
fn every_way_to_end_has_its_status() {
    let image = image("ends.wasm");
    let compiled = engine().compile(&image).unwrap();
    let status = |args: &[&str]| {
        let halted = run_with(&compiled, LIMITS, &archive(args)).0;
        (halted.outcome.status, halted.outcome.exit_code)
    };
    assert_eq!(status(&["ends", "print"]), (Status::Exited, 0));
    assert_eq!(status(&["ends", "exit", "41"]), (Status::Exited, 41));
    assert_eq!(status(&["ends", "trap"]), (Status::Trapped, 0));
    assert_eq!(status(&["ends", "divide"]), (Status::Trapped, 0));
    assert_eq!(status(&["ends", "spin"]), (Status::OutOfCycles, 0));
    assert_eq!(status(&["ends", "hog"]), (Status::Exited, 3));
}

#[test]
fn an_artifact_runs_as_the_image_it_was_compiled_from() {
    let image = image("libc.wasm");
    let compiled = engine().compile(&image).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("artifact");
    std::fs::write(&file, compiled.artifact().unwrap()).unwrap();
    // SAFETY: the file was just written by this test.
    #[allow(unsafe_code)]
    let loaded = unsafe { engine().load(&image, &file) }.unwrap();
    let input = archive(&["libc"]);
    assert_eq!(
        run_with(&loaded, LIMITS, &input),
        run_with(&compiled, LIMITS, &input)
    );
    assert_eq!(
        engine().artifact_key(image.root()),
        Engine::new().unwrap().artifact_key(image.root())
    );
    assert_ne!(
        engine().artifact_key(image.root()),
        engine().artifact_key(Default::default())
    );
}

#[test]
fn an_interrupted_run_is_an_engine_failure_and_no_claim() {
    let compiled = engine().compile(&image("libc.wasm")).unwrap();
    let input = archive(&["libc"]);
    let task = Task::new(header(LIMITS, &input), LIMITS);
    task.interrupt()
        .store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(matches!(
        compiled.run(&task, input, Vec::new()),
        Err(outcry_native::EngineFailure::Interrupted)
    ));
}
