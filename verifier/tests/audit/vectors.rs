//! The checked-in golden vectors are what the code computes.

#[path = "../../examples/audit/generate.rs"]
mod generate;

use outcry_verifier::audit;

#[test]
fn the_checked_in_vectors_are_current() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/audit.json");
    let checked_in = std::fs::read_to_string(file).unwrap_or_default();
    assert!(
        checked_in == generate::audit(),
        "audit.json is stale: run `cargo run --release -p outcry-verifier --example audit`"
    );
}

#[test]
fn how_long_hashes_and_seats_stay_is_what_the_contract_says() {
    let beacon = include_str!("../../../contracts/src/audit/Beacon.sol");
    let registry = include_str!("../../../contracts/src/audit/Registry.sol");
    let known = format!("HASHES_KNOWN = {};", audit::HASHES_KNOWN);
    assert!(beacon.contains(&known), "{known}");
    let open = format!("DRAWS_OPEN = {};", audit::DRAWS_OPEN);
    assert!(registry.contains(&open), "{open}");
}
