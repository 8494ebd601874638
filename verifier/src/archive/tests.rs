#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;

use proptest::prelude::*;

use super::*;
use crate::archive::input::Invocation;

fn pack(entries: &[(&str, &[u8])]) -> Result<Vec<u8>, ArchiveError> {
    let mut writer = Writer::new(Vec::new());
    for (path, content) in entries {
        match path.strip_suffix('/') {
            Some(directory) => writer.empty_directory(directory)?,
            None => writer.file(path, content)?,
        }
    }
    writer.finish()
}

fn unpack(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, ArchiveError> {
    let mut reader = Reader::new(bytes);
    let mut list = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        let content = reader.read_content()?;
        list.push((entry.archived_path(), content));
    }
    Ok(list)
}

fn message(result: Result<impl std::fmt::Debug, ArchiveError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn what_is_written_reads_back() {
    let entries: &[(&str, &[u8])] = &[
        ("in/a", b""),
        ("in/a-b", b"x"),
        ("in/b/", b""),
        ("in/c/d.txt", &[7; 1000]),
        ("in/\u{1F30D}", &[0; 512]),
    ];
    let bytes = pack(entries).unwrap();
    assert_eq!(bytes.len() % BLOCK_BYTES, 0);
    let read = unpack(&bytes).unwrap();
    let expected: Vec<_> = entries
        .iter()
        .map(|(path, content)| ((*path).to_owned(), content.to_vec()))
        .collect();
    assert_eq!(read, expected);
}

#[test]
fn the_header_of_a_small_file_is_the_one_that_gnu_tar_writes() {
    let bytes = pack(&[("in/a.txt", b"alpha\n")]).unwrap();
    let mut expected = [0; 512];
    expected[..8].copy_from_slice(b"in/a.txt");
    expected[100..147]
        .copy_from_slice(b"0000644\x000000000\x000000000\x0000000000006\x0000000000000");
    expected[148..157].copy_from_slice(b"006666\0 0");
    expected[257..265].copy_from_slice(b"ustar\x0000");
    expected[329..344].copy_from_slice(b"0000000\x000000000");
    let sum: u32 = expected
        .iter()
        .enumerate()
        .map(|(i, &b)| {
            if (148..156).contains(&i) {
                32
            } else {
                u32::from(b)
            }
        })
        .sum();
    expected[148..154].copy_from_slice(format!("{sum:06o}").as_bytes());
    assert_eq!(bytes[..512], expected);
}

#[test]
fn entries_out_of_order_are_refused() {
    assert!(message(pack(&[("in/b", b""), ("in/a", b"")])).contains("ascend"));
    assert!(message(pack(&[("in/a", b""), ("in/a", b"")])).contains("ascend"));
}

#[test]
fn nothing_lies_below_a_file_or_an_empty_directory() {
    assert!(
        message(pack(&[("in/a", b""), ("in/a-b", b""), ("in/a/x", b"")]))
            .contains("lies below `in/a`")
    );
    assert!(message(pack(&[("in/a/", b""), ("in/a/x", b"")])).contains("lies below `in/a`"));
    assert!(
        message(pack(&[("in/a", b""), ("in/a-b", b""), ("in/a/", b"")])).contains("lies below")
    );
}

#[test]
fn paths_that_could_escape_or_do_not_fit_are_refused() {
    let long = format!("in/{}", "n".repeat(101));
    let longest = format!("{}/{}", "d".repeat(154), "n".repeat(100));
    let too_long = format!("{}/{}", "d".repeat(155), "n".repeat(100));
    assert!(pack(&[(&longest, b"")]).is_ok());
    for path in [
        "", "..", "in/../x", "/in", "in//x", "in/./x", "in/a\0b", &long, &too_long,
    ] {
        assert!(
            matches!(pack(&[(path, b"")]), Err(ArchiveError::Path { .. })),
            "{path:?}"
        );
    }
}

#[test]
fn a_reader_refuses_every_other_form() {
    let good = pack(&[("in/a", b"alpha"), ("in/b", b"")]).unwrap();
    assert!(Reader::new(good.as_slice()).check().is_ok());
    // Any change of a header, of the padding or of the end; content may be anything.
    for at in (0..good.len()).filter(|at| !(512..517).contains(at)) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        assert!(Reader::new(bad.as_slice()).check().is_err(), "byte {at}");
    }
    for length in 0..good.len() {
        assert!(
            Reader::new(&good[..length]).check().is_err(),
            "{length} bytes"
        );
    }
    let mut longer = good;
    longer.push(0);
    assert!(message(Reader::new(longer.as_slice()).check()).contains("bytes follow"));
}

#[test]
fn a_size_that_the_bytes_do_not_back_allocates_nothing() {
    let mut entry = Entry {
        path: "in/a".to_owned(),
        kind: Kind::File {
            bytes: FILE_BYTES_MAX,
        },
    };
    let header = entry.header();
    assert!(message(unpack(&header)).contains("ends too early"));
    entry.kind = Kind::File {
        bytes: FILE_BYTES_MAX + 1,
    };
    assert!(matches!(
        entry.check(),
        Err(ArchiveError::FileTooLong { .. })
    ));
}

#[test]
fn an_input_says_how_the_program_starts() {
    let invocation = Invocation {
        args: vec![
            "python".to_owned(),
            "/app/main.py".to_owned(),
            String::new(),
        ],
        env: BTreeMap::from([
            ("A".to_owned(), "1=2".to_owned()),
            ("B".to_owned(), String::new()),
        ]),
        stdin: Some(b"text".to_vec()),
    };
    let files = BTreeMap::from([
        ("app/main.py".to_owned(), b"pass".to_vec()),
        ("in/x/y".to_owned(), Vec::new()),
    ]);
    let bytes = invocation.archive(&files).unwrap();
    assert_eq!(input::check(bytes.as_slice()).unwrap(), (invocation, 2));
}

#[test]
fn an_input_holds_only_what_the_machine_mounts() {
    let refuse = |entries: &[(&str, &[u8])], reason: &str| {
        let text = message(input::check(pack(entries).unwrap().as_slice()));
        assert!(text.contains(reason), "{text}");
    };
    refuse(&[(".outcry/args", b"")], ".outcry/env");
    refuse(
        &[(".outcry/args", b"x"), (".outcry/env", b"")],
        "not closed",
    );
    refuse(&[(".outcry/args", b""), (".outcry/env", b"A\0")], "no name");
    refuse(
        &[(".outcry/args", b""), (".outcry/env", b"A=1\0A=2\0")],
        "twice",
    );
    refuse(
        &[(".outcry/args", b""), (".outcry/env", b"OUTCRY_TASK=1\0")],
        "set by the machine",
    );
    refuse(
        &[(".outcry/args", b""), (".outcry/env", b""), ("out/x", b"")],
        "app/ and in/",
    );
    refuse(
        &[
            (".outcry/args", b""),
            (".outcry/env", b""),
            (".outcry/x", b""),
        ],
        "app/ and in/",
    );
    let long = vec![0; input::STDIN_BYTES_MAX as usize + 1];
    refuse(
        &[
            (".outcry/args", b""),
            (".outcry/env", b""),
            (".outcry/stdin", &long),
        ],
        "16 MiB",
    );
}

#[test]
fn a_folder_packs_in_the_order_of_paths_and_an_output_unpacks_into_one() {
    let scratch = tempfile::tempdir().unwrap();
    let source = scratch.path().join("source");
    for folder in ["a", "b/empty"] {
        fs::create_dir_all(source.join(folder)).unwrap();
    }
    for (path, content) in [("a/x", "1"), ("a.txt", "2"), ("a-b", "3"), ("b/z", "4")] {
        fs::write(source.join(path), content).unwrap();
    }
    let mut writer = Writer::new(Vec::new());
    folder::append(&mut writer, "out", &source).unwrap();
    writer.file("stderr", b"err").unwrap();
    writer.file("stdout", b"printed").unwrap();
    let bytes = writer.finish().unwrap();
    let paths: Vec<_> = unpack(&bytes)
        .unwrap()
        .into_iter()
        .map(|(path, _)| path)
        .collect();
    assert_eq!(
        paths,
        [
            "out/a-b",
            "out/a.txt",
            "out/a/x",
            "out/b/empty/",
            "out/b/z",
            "stderr",
            "stdout"
        ]
    );
    assert_eq!(output::check(bytes.as_slice()).unwrap(), 7);

    let target = scratch.path().join("target");
    for _ in 0..2 {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        folder::unpack_output(bytes.as_slice(), &target, &mut stdout, &mut stderr).unwrap();
        assert_eq!(
            (stdout.as_slice(), stderr.as_slice()),
            (b"printed".as_slice(), b"err".as_slice())
        );
        assert_eq!(fs::read_to_string(target.join("a/x")).unwrap(), "1");
        assert!(target.join("b/empty").is_dir());
    }
}

#[cfg(unix)]
#[test]
fn links_are_neither_packed_nor_written_through() {
    use std::os::unix::fs::symlink;
    let scratch = tempfile::tempdir().unwrap();
    let (outside, folder) = (
        scratch.path().join("outside"),
        scratch.path().join("folder"),
    );
    fs::create_dir(&outside).unwrap();
    fs::create_dir(&folder).unwrap();
    symlink(&outside, folder.join("link")).unwrap();
    symlink(outside.join("target"), folder.join("file")).unwrap();

    let mut writer = Writer::new(Vec::new());
    assert!(message(folder::append(&mut writer, "in", &folder)).contains("link"));
    for path in ["out/link/x", "out/file"] {
        let bytes = pack(&[(path, b"escaped"), ("stderr", b""), ("stdout", b"")]).unwrap();
        let result =
            folder::unpack_output(bytes.as_slice(), &folder, &mut Vec::new(), &mut Vec::new());
        assert!(message(result).contains("in the way"));
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
        let _ = Reader::new(bytes.as_slice()).check();
    }

    #[test]
    fn any_tree_of_files_has_one_archive(files in proptest::collection::btree_map("[a-c]{1,2}(/[a-c.-]{3}){0,3}", proptest::collection::vec(any::<u8>(), 0..1500), 0..12)) {
        let mut writer = Writer::new(Vec::new());
        let mut kept = Vec::new();
        for (path, content) in &files {
            match writer.file(path, content) {
                Ok(()) => kept.push((path.clone(), content.clone())),
                Err(ArchiveError::BelowFile { .. } | ArchiveError::Path { .. }) => {}
                Err(other) => panic!("{other}"),
            }
        }
        prop_assert_eq!(unpack(&writer.finish().unwrap()).unwrap(), kept);
    }
}

#[test]
fn an_input_has_a_limit_of_entries_which_an_output_has_not() {
    let mut writer = Writer::new(Vec::new());
    for number in 0..ENTRIES_MAX {
        writer.empty_directory(&format!("in/{number:06}")).unwrap();
    }
    assert!(matches!(
        writer.empty_directory("in/x"),
        Err(ArchiveError::TooManyEntries)
    ));
    let mut bytes = writer.finish().unwrap();
    bytes.truncate(bytes.len() - 2 * BLOCK_BYTES);
    bytes.extend(pack(&[("in/x", b""), ("in/y", b"")]).unwrap());
    assert_eq!(
        Reader::new(bytes.as_slice()).check().unwrap(),
        ENTRIES_MAX + 2
    );
    let mut head = Writer::new(Vec::new());
    Invocation::default().write(&mut head).unwrap();
    let mut head = head.finish().unwrap();
    head.truncate(head.len() - 2 * BLOCK_BYTES);
    head.extend(bytes);
    assert!(matches!(
        input::check(head.as_slice()),
        Err(ArchiveError::TooManyEntries)
    ));
}
