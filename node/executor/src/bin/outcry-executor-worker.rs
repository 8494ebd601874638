//! A worker alone, for this crate's tests; the product's worker is `outcry executor-worker`.

fn main() -> std::process::ExitCode {
    outcry_executor::worker_main()
}
