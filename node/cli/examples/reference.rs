//! Writes `node/cli/docs/outcry.md`.

fn main() -> std::io::Result<()> {
    std::fs::write(
        concat!(env!("CARGO_MANIFEST_DIR"), "/docs/outcry.md"),
        outcry_cli::reference(),
    )
}
