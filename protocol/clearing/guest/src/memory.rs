//! The heap. Blocks have sizes of powers of two; a freed one waits for the next of its size.
//!
//! So the heap never holds more blocks of a size than were live at once, less than twice what they were
//! asked for, and a run's memory is bounded by that: a clearing frees what a round allocated. A heap that
//! only grows is bounded by the counted moves alone, since the search allocates with every leaf that it looks
//! at: 500 orders took 144 pages in place of 21.

use core::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32::{memory_grow, memory_size};
use core::cell::UnsafeCell;
use core::ptr;

const PAGE: usize = 1 << 16;
/// Smallest block. Nothing in a clearing has a stricter alignment than this.
const BLOCK_MIN: usize = 1 << 4;
/// A class for each power of two that a 32-bit address can hold.
const CLASSES: usize = 32;

extern "C" {
    /// Where the linker ends the static data.
    static __heap_base: u8;
}

struct State {
    /// The first byte that was never part of a block; 0 before the first allocation.
    next: usize,
    /// Of each class the block that was freed last; its first word points to the one before.
    free: [*mut u8; CLASSES],
}

pub(crate) struct Heap(UnsafeCell<State>);

// SAFETY: the module has one thread.
unsafe impl Sync for Heap {}

impl Heap {
    pub(crate) const fn new() -> Self {
        Self(UnsafeCell::new(State {
            next: 0,
            free: [ptr::null_mut(); CLASSES],
        }))
    }
}

/// The logarithm of the size of the block in which so many bytes lie.
fn class(bytes: usize) -> usize {
    // A layout has at most 2^31 - 1 bytes.
    bytes.max(BLOCK_MIN).next_power_of_two().trailing_zeros() as usize
}

impl State {
    /// A block that was never used, if the memory can still grow so far.
    fn fresh(&mut self, bytes: usize) -> Option<*mut u8> {
        if self.next == 0 {
            // SAFETY: only the address is taken.
            let base = unsafe { ptr::addr_of!(__heap_base) } as usize;
            self.next = base.checked_add(BLOCK_MIN - 1)? & !(BLOCK_MIN - 1);
        }
        let end = self.next.checked_add(bytes)?;
        let pages = memory_size(0);
        let needed = (end - 1) / PAGE + 1;
        if needed > pages && memory_grow(0, needed - pages) == usize::MAX {
            return None;
        }
        let block = self.next as *mut u8;
        self.next = end;
        Some(block)
    }
}

// SAFETY: blocks of a class have its size, lie at multiples of BLOCK_MIN, and do not overlap: each is cut
// from memory once and is either free or handed out.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() > BLOCK_MIN {
            return ptr::null_mut();
        }
        let state = &mut *self.0.get();
        let class = class(layout.size());
        let freed = state.free[class];
        if freed.is_null() {
            return state.fresh(1 << class).unwrap_or(ptr::null_mut());
        }
        state.free[class] = *freed.cast::<*mut u8>();
        freed
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let state = &mut *self.0.get();
        let class = class(layout.size());
        *block.cast::<*mut u8>() = state.free[class];
        state.free[class] = block;
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if class(layout.size()) == class(size) {
            return block;
        }
        let moved = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
        if !moved.is_null() {
            ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
            self.dealloc(block, layout);
        }
        moved
    }
}
