//! The in-machine WASI library as it is linked into every image, and the version it defines.

/// Version of the machine's rules: accepted instructions, cost table, this library. A change of any of
/// them that a running job could notice is a new version.
pub const MACHINE_VERSION: u32 = 1;

/// The library's module, built from `verifier/guest/src` by `verifier/guest/build.mjs`.
pub const LIBRARY: &[u8] = include_bytes!("../guest/outcry_wasi.wasm");

/// keccak256 of [`LIBRARY`]: two builds that claim one machine version must agree in it.
#[must_use]
pub fn library_hash() -> alloy_primitives::B256 {
    alloy_primitives::keccak256(LIBRARY)
}
