//! Prints the document that describes the HTTP API: `cargo run -p outcry-daemon --example openapi >
//! node/daemon/openapi.json`.

fn main() -> Result<(), serde_json::Error> {
    print!("{}", outcry_daemon::api::document()?);
    Ok(())
}
