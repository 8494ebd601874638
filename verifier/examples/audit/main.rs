//! Writes the golden vectors of the audits, `verifier/vectors/audit.json`, which Rust and Solidity test
//! against: `cargo run --release -p outcry-verifier --example audit`.

mod generate;

fn main() -> std::io::Result<()> {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/audit.json");
    std::fs::write(file, generate::audit())
}
