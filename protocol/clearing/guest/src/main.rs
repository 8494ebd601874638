//! The clearing as a program: a market in its one form in the file `in/market`, the result in `out/result`.
//!
//! Both forms and the exit codes are in `protocol/SPEC.md`, section Clearing. Keys come in hashed, so that
//! the program hashes nothing and reads no text.
#![no_std]
#![no_main]
// The handler of failed allocations, which `alloc` alone has no other way to get before Rust 1.68.
#![feature(alloc_error_handler)]

extern crate alloc;

use alloc::vec::Vec;
use core::alloc::Layout;
use core::panic::PanicInfo;

use outcry_clearing::binary::{decode, BinaryError};
use outcry_clearing::{clear, Alone, MarketError};

mod memory;
mod wasi;

#[global_allocator]
static HEAP: memory::Heap = memory::Heap::new();

/// How a run without a result ends. The numbers are the exit codes.
#[derive(Clone, Copy)]
enum Refusal {
    Header = 2,
    Truncated = 3,
    Rest = 4,
    Order = 5,
    Limits = 6,
    KeyTwice = 7,
    Memory = 8,
    File = 9,
}

impl From<MarketError> for Refusal {
    fn from(error: MarketError) -> Self {
        match error {
            MarketError::KeyTwice => Self::KeyTwice,
            _ => Self::Limits,
        }
    }
}

impl From<BinaryError> for Refusal {
    fn from(error: BinaryError) -> Self {
        match error {
            BinaryError::Header => Self::Header,
            BinaryError::Truncated => Self::Truncated,
            BinaryError::Rest => Self::Rest,
            BinaryError::Market(error) => error.into(),
            // `Order`; a variant to come is one of form as well.
            _ => Self::Order,
        }
    }
}

fn run() -> Result<(), Refusal> {
    let bytes = wasi::read("in/market").ok_or(Refusal::File)?;
    let market = decode(&bytes)?;
    drop(bytes);
    let clearing = clear(&market, &Alone)?;
    let mut result: Vec<u8> = Vec::new();
    clearing.encode(&mut |part| result.extend_from_slice(part));
    wasi::write("out/result", &result).ok_or(Refusal::File)
}

/// The entry point of a WASI command.
#[no_mangle]
pub extern "C" fn _start() {
    if let Err(refusal) = run() {
        wasi::exit(refusal as u32);
    }
}

#[alloc_error_handler]
fn no_memory(_: Layout) -> ! {
    wasi::exit(Refusal::Memory as u32)
}

/// A mistake of the clearing, of which none is known: the task traps.
#[panic_handler]
fn panicked(_: &PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
