//! The architecture invariants of ARCHITECTURE.md, as far as a program can check them.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap()
}

/// Package name to the names of its normal and build dependencies, for the whole lock file.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    // Packages of other platforms are not on this machine.
    let rustc = Command::new("rustc").arg("-vV").output().unwrap();
    let about = String::from_utf8(rustc.stdout).unwrap();
    let host = about
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .unwrap();
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version=1",
            "--locked",
            "--offline",
            "--filter-platform",
            host,
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let names: BTreeMap<&str, &str> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            (
                package["id"].as_str().unwrap(),
                package["name"].as_str().unwrap(),
            )
        })
        .collect();
    let mut dependencies = BTreeMap::<String, BTreeSet<String>>::new();
    for node in metadata["resolve"]["nodes"].as_array().unwrap() {
        let of = dependencies
            .entry(names[node["id"].as_str().unwrap()].to_owned())
            .or_default();
        for dependency in node["deps"].as_array().unwrap() {
            let kinds = dependency["dep_kinds"].as_array().unwrap();
            if kinds.iter().any(|kind| kind["kind"] != "dev") {
                of.insert(names[dependency["pkg"].as_str().unwrap()].to_owned());
            }
        }
    }
    dependencies
}

fn reachable(from: &str, dependencies: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut open = vec![from.to_owned()];
    while let Some(name) = open.pop() {
        for next in dependencies.get(&name).into_iter().flatten() {
            if seen.insert(next.clone()) {
                open.push(next.clone());
            }
        }
    }
    seen
}

#[test]
fn arrows_between_crates_point_inwards_only() {
    let dependencies = dependencies();
    // A crate, and every crate of ours that it may reach; the rules reach the clearing, and whoever
    // reaches the rules reaches both.
    let rules = ["outcry-protocol", "outcry-clearing"];
    let allowed: &[(&str, &[&str])] = &[
        ("outcry-clearing", &[]),
        ("outcry-protocol", &[]),
        ("outcry-verifier", &[]),
        ("outcry-native", &["outcry-verifier"]),
        ("outcry-contracts", &[]),
        ("outcry-store", &[]),
        ("outcry-net", &[]),
        ("outcry-chain", &["outcry-contracts", "outcry-store"]),
        ("outcry-executor", &["outcry-verifier", "outcry-native"]),
        (
            "outcry-audit",
            &["outcry-verifier", "outcry-native", "outcry-contracts"],
        ),
        (
            "outcry-sdk",
            &["outcry-verifier", "outcry-native", "outcry-contracts"],
        ),
        (
            "outcry-cli",
            &[
                "outcry-verifier",
                "outcry-native",
                "outcry-contracts",
                "outcry-audit",
                "outcry-sdk",
            ],
        ),
    ];
    for (name, allowed) in allowed {
        let ours: BTreeSet<String> = reachable(name, &dependencies)
            .into_iter()
            .filter(|reached| reached.starts_with("outcry"))
            .collect();
        // The clearing reaches nothing, the rules it alone.
        let inner: &[&str] = match *name {
            "outcry-clearing" => &[],
            "outcry-protocol" => &["outcry-clearing"],
            _ => &rules,
        };
        let allowed: BTreeSet<String> = allowed
            .iter()
            .chain(inner)
            .map(|name| (*name).to_owned())
            .collect();
        assert!(
            ours.is_subset(&allowed),
            "{name} reaches {:?}",
            ours.difference(&allowed)
        );
    }
    for (name, reached) in &dependencies {
        assert!(
            !reached.contains("outcry-testnet"),
            "{name} depends on the test network"
        );
    }
}

#[test]
fn the_rules_know_no_runtime_network_or_disk() {
    let dependencies = dependencies();
    let shells = [
        "tokio",
        "mio",
        "socket2",
        "libp2p",
        "reqwest",
        "hyper",
        "alloy-provider",
        "redb",
        "sled",
        "wasmtime",
    ];
    for name in ["outcry-protocol", "outcry-verifier"] {
        let reached = reachable(name, &dependencies);
        // Number types reach it for their own tests' sake; the rules may not.
        assert!(
            !dependencies[name].contains("rand"),
            "{name} draws random numbers"
        );
        for shell in shells {
            assert!(!reached.contains(shell), "{name} reaches {shell}");
        }
    }
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn the_rules_call_no_clock_file_or_socket() {
    let forbidden = [
        "std::fs",
        "std::net",
        "std::time",
        "std::env",
        "std::process",
        "std::thread",
    ];
    for folder in ["protocol/src", "protocol/clearing/src", "verifier/src"] {
        let mut files = Vec::new();
        sources(&root().join(folder), &mut files);
        assert!(!files.is_empty());
        // The one door between archives and a folder, and unit tests.
        let exempt = ["archive/folder.rs", "tests.rs"];
        // Functions of a program are flattened in parallel; the result does not depend on how.
        let threads = "machine/program.rs";
        for file in files
            .iter()
            .filter(|file| !exempt.iter().any(|end| file.ends_with(end)))
        {
            let text = fs::read_to_string(file).unwrap();
            for word in forbidden {
                if word == "std::thread" && file.ends_with(threads) {
                    continue;
                }
                assert!(!text.contains(word), "{} uses {word}", file.display());
            }
        }
    }
}

#[test]
fn the_protocol_uses_no_floats_and_no_unsafe_code() {
    let mut files = Vec::new();
    sources(&root().join("protocol/src"), &mut files);
    sources(&root().join("protocol/clearing/src"), &mut files);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for word in ["f32", "f64"] {
            let found = text
                .split(|letter: char| !letter.is_alphanumeric() && letter != '_')
                .any(|found| found == word);
            assert!(!found, "{} mentions {word}", file.display());
        }
    }
    let lib = fs::read_to_string(root().join("protocol/src/lib.rs")).unwrap();
    assert!(lib.contains("#![forbid(unsafe_code)]"));
}

#[test]
fn no_file_is_named_for_nothing_in_particular() {
    let mut files = Vec::new();
    for folder in [
        "protocol",
        "verifier",
        "node",
        "sdk/rust",
        "testnet",
        "contracts/bindings",
    ] {
        sources(&root().join(folder), &mut files);
    }
    for file in files {
        let stem = file.file_stem().unwrap().to_string_lossy().to_lowercase();
        let empty = [
            "utils", "util", "common", "helpers", "helper", "manager", "misc",
        ];
        assert!(!empty.contains(&stem.as_str()), "{}", file.display());
    }
}

/// Cheats of the test network put engines of their own around the product's. The product can't.
#[test]
fn the_product_executes_and_traces_with_its_own_engines_alone() {
    let mut files = Vec::new();
    for folder in [
        "protocol",
        "verifier",
        "node",
        "sdk/rust",
        "contracts/bindings",
    ] {
        sources(&root().join(folder), &mut files);
    }
    let texts: Vec<String> = files
        .iter()
        .map(|file| {
            let text = fs::read_to_string(file).unwrap();
            // Unit tests stand at the end and are not in the product.
            let product = text.split("#[cfg(test)]\nmod tests").next();
            product.unwrap_or_default().to_owned()
        })
        .collect();
    let places =
        |word: &str| -> usize { texts.iter().map(|text| text.matches(word).count()).sum() };
    for (engine, own) in [
        ("Execute for ", "impl Execute for Engine"),
        ("Tracer for ", "impl Tracer for Interpreter"),
    ] {
        assert_eq!(places(own), 1, "{own}");
        assert_eq!(places(engine), 1, "there is another engine: {engine}");
    }
    // Its definition, and the one call that changes nothing.
    assert_eq!(places("start_with("), 2);
    assert_eq!(places("|engines| engines"), 1);
}
