//! Compiling an image to native code, and keeping the code as an artifact.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use alloy_primitives::B256;
use outcry_verifier::{Image, limits, meter};
use wasmtime::{Config, Module, OptLevel};

use crate::EngineFailure;

/// Bytes of native stack for one frame slot.
///
/// A frame holds at most its live values, return address and saved registers. A live value is a
/// local, an operand, or, because an optimising compiler may compute early and keep, the value of
/// any instruction; a frame has 8 slots, one for each local and operand, and one for every 64
/// instructions ([`outcry_verifier::cost::frame_slots`]). So 64 values of 8 bytes for a slot are
/// enough, and the slot limit trips before the stack overflows. Were a compiler to do worse, the
/// run would fail as [`EngineFailure::NativeStack`], never with a wrong result.
const STACK_BYTES_PER_SLOT: usize = 64 * 8;
/// Native stack of a run: address space, of which only what is used becomes memory.
pub(crate) const STACK_BYTES: usize = limits::SLOT_LIMIT as usize * STACK_BYTES_PER_SLOT;
/// Stack for the host's own functions beyond that.
pub(crate) const HOST_STACK_BYTES: usize = 4 << 20;

/// The compiler and its configuration. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    wasmtime: wasmtime::Engine,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

impl From<wasmtime::Error> for EngineFailure {
    fn from(error: wasmtime::Error) -> Self {
        Self::Engine(format!("{error:#}"))
    }
}

impl Engine {
    /// An engine for this processor.
    ///
    /// # Errors
    /// [`EngineFailure::Engine`] on a processor or system that wasmtime does not support.
    pub fn new() -> Result<Self, EngineFailure> {
        let mut config = Config::new();
        config
            .cranelift_opt_level(OptLevel::Speed)
            // NaNs are made canonical by the transforms, and only where they can be observed.
            .cranelift_nan_canonicalization(false)
            .wasm_branch_hinting(true)
            .wasm_simd(false)
            .wasm_relaxed_simd(false)
            .wasm_tail_call(false)
            .wasm_memory64(false)
            .wasm_multi_memory(true)
            .wasm_multi_value(true)
            .wasm_bulk_memory(true)
            .wasm_extended_const(true)
            .max_wasm_stack(STACK_BYTES)
            // Unused, but it must not be smaller.
            .async_stack_size(STACK_BYTES)
            .wasm_backtrace_max_frames(None)
            .generate_address_map(false);
        Ok(Self {
            wasmtime: wasmtime::Engine::new(&config)?,
        })
    }

    /// Compiles the fast variant of an image. The exact variant, which only a trap or a limit needs,
    /// is compiled when it is first needed.
    ///
    /// # Errors
    /// [`EngineFailure::Engine`].
    pub fn compile(&self, image: &Image) -> Result<CompiledImage, EngineFailure> {
        let fast = meter::fast(image).map_err(|error| EngineFailure::Engine(error.to_string()))?;
        let fast = Module::from_binary(&self.wasmtime, &fast)?;
        Ok(CompiledImage {
            engine: self.clone(),
            image: image.clone(),
            fast,
            exact: Arc::default(),
        })
    }

    /// Names the artifact of an image: BLAKE3 of image root, compiler configuration, processor
    /// features and the versions that shape the code. Equal keys mean interchangeable artifacts.
    #[must_use]
    pub fn artifact_key(&self, image_root: B256) -> [u8; 32] {
        use std::hash::{Hash, Hasher};
        /// Feeds what wasmtime says about its compatibility into BLAKE3.
        struct Digest(blake3::Hasher);
        impl Hasher for Digest {
            fn write(&mut self, bytes: &[u8]) {
                self.0.update(bytes);
            }
            fn finish(&self) -> u64 {
                0
            }
        }
        let mut digest = Digest(blake3::Hasher::new_derive_key("outcry native artifact v1"));
        digest.0.update(image_root.as_slice());
        digest.0.update(env!("CARGO_PKG_VERSION").as_bytes());
        self.wasmtime
            .precompile_compatibility_hash()
            .hash(&mut digest);
        *digest.0.finalize().as_bytes()
    }

    /// Loads what [`CompiledImage::artifact`] gave, from a file.
    ///
    /// # Safety
    /// The file is native code that will be executed: it must come from [`CompiledImage::artifact`]
    /// of this crate, by way of a folder that nobody else can write, and must not change while the
    /// image is in use.
    ///
    /// # Errors
    /// [`EngineFailure::Engine`] if the file is not an artifact for this engine.
    #[allow(unsafe_code)]
    pub unsafe fn load(
        &self,
        image: &Image,
        artifact: &Path,
    ) -> Result<CompiledImage, EngineFailure> {
        // SAFETY: the caller vouches for the file.
        let fast = unsafe { Module::deserialize_file(&self.wasmtime, artifact)? };
        Ok(CompiledImage {
            engine: self.clone(),
            image: image.clone(),
            fast,
            exact: Arc::default(),
        })
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.wasmtime
    }
}

/// An image ready to run. Cheap to clone; may run on several threads at once.
#[derive(Clone)]
pub struct CompiledImage {
    pub(crate) engine: Engine,
    image: Image,
    fast: Module,
    exact: Arc<OnceLock<Module>>,
}

impl std::fmt::Debug for CompiledImage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompiledImage")
            .field("root", &self.image.root())
            .finish_non_exhaustive()
    }
}

impl CompiledImage {
    /// The image.
    #[must_use]
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// Native code of the fast variant, for [`Engine::load`], to be kept under
    /// [`Engine::artifact_key`] in a folder that nobody else can write.
    ///
    /// # Errors
    /// [`EngineFailure::Engine`].
    pub fn artifact(&self) -> Result<Vec<u8>, EngineFailure> {
        Ok(self.fast.serialize()?)
    }

    pub(crate) fn fast(&self) -> &Module {
        &self.fast
    }

    pub(crate) fn exact(&self) -> Result<&Module, EngineFailure> {
        if let Some(module) = self.exact.get() {
            return Ok(module);
        }
        let exact =
            meter::exact(&self.image).map_err(|error| EngineFailure::Engine(error.to_string()))?;
        let module = Module::from_binary(self.engine.wasmtime(), &exact)?;
        Ok(self.exact.get_or_init(|| module))
    }
}
