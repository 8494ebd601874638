//! Writes the golden vectors of the dispute game, `verifier/vectors/game.json`, which Rust and Solidity
//! test against: `cargo run --release -p outcry-verifier --example game`.

mod generate;

fn main() -> std::io::Result<()> {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/game.json");
    std::fs::write(file, generate::game())
}
