//! The checked-in golden vectors are what the code computes.

#[path = "../../examples/audit/generate.rs"]
mod generate;

#[test]
fn the_checked_in_vectors_are_current() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/audit.json");
    let checked_in = std::fs::read_to_string(file).unwrap_or_default();
    assert!(
        checked_in == generate::audit(),
        "audit.json is stale: run `cargo run --release -p outcry-verifier --example audit`"
    );
}
