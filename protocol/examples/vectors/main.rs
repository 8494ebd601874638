//! Writes the golden vectors, `protocol/vectors/*.json`, which Rust, Solidity and TypeScript test
//! against: `cargo run --release -p outcry-protocol --example vectors`.

mod generate;

fn main() -> std::io::Result<()> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    for (name, text) in generate::files() {
        std::fs::write(folder.join(name), text)?;
    }
    Ok(())
}
