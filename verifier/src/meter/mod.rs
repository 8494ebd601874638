//! Two modules for the native engine from one image, and what a cycle count is.
//!
//! # The count
//!
//! The machine has a cycle register that starts at 0. It grows in two ways only.
//!
//! - **On entry to a basic block**, by the fixed costs ([`crate::cost::instruction`]) of all the
//!   block's instructions at once. A block starts at a function's first instruction, and after
//!   every `loop`, `if`, `else`, `end` and `br_if`; it ends with one of these, or with `br`,
//!   `br_table`, `return` or `unreachable`. Its last instruction belongs to it. So a block runs on
//!   after a call, and `block` starts none. A function's first block costs
//!   [`crate::cost::function_entry`] more. A call of a host operation costs
//!   [`crate::cost::HostCost::fixed`] more. Dead code costs nothing.
//! - **Immediately before an instruction with a cost by size**, or a host operation with one, by
//!   that cost of its last operand, whether or not the instruction then traps or fails.
//!
//! If a charge would raise the register above the job's cycle limit, the machine halts with status
//! *out of cycles* and its register shows the limit. A charge that reaches the limit exactly does
//! not halt.
//!
//! On a **call** the callee's frame is reserved first: if the frame slots in use would exceed the
//! slot limit, the machine halts with status *out of frame slots*; then the callee's first block is
//! charged. The host operations have no frame. The function `run` is called like any other.
//! A **trap** halts with the register as it stands: the block of the trapping instruction is
//! charged whole. The host operation `exit` halts with the register as it stands. Appending output
//! beyond the limit halts with status *output limit exceeded* after the operation's charges.
//! Memory pages of all memories together are limited by the job: `memory.grow` beyond that limit,
//! or beyond the memory's own maximum, gives -1. An image whose initial memories exceed the limit
//! traps before its first charge. A table grows to its own maximum, at most to
//! [`crate::limits::TABLE_ENTRIES`].
//!
//! # The transforms
//!
//! [`exact`] does just that, block by block, in globals that the engine reads afterwards.
//!
//! [`fast`] carries the register through the program as an extra parameter and result of its
//! functions, and the free frame slots as another parameter. Charges are merged over straight-line
//! code and over both arms of branches as long as nothing can observe them. Invariant: register +
//! pending charges = the count above, and pending charges are never negative. Hence
//! 1. where the register is handed to `exit`, pending charges are zero and it is exact;
//! 2. where the register alone exceeds the limit, the count does too: the run is out of cycles;
//! 3. everything else (a trap, the slot limit, the output limit) says nothing exact, and the engine
//!    runs the [`exact`] module from the start.
//!
//! Both deliver **canonical NaNs** where the bits of a float result can be observed, and leave the
//! others as the hardware made them (see `facts`).

mod emit;
mod exact;
pub(crate) mod facts;
mod fast;

pub use exact::exact;
pub use fast::fast;

/// Export names and status numbers by which the engine talks to a transformed module.
pub mod abi {
    /// The entry. Exact: `() -> ()`. Fast: `(slots i32, cycles i64) -> (cycles i64)`, both what is
    /// left. It never returns: a program ends in the host operation `exit`.
    pub const RUN: &str = "run";
    /// The library's memory, in which host operations read and write.
    pub const LIBRARY_MEMORY: &str = "library";
    /// Mutable i32 global: why a run ended in `unreachable`.
    pub const STATUS: &str = "status";
    /// Exact only: mutable i64 global, cycles left. Set by the engine; negative when out of cycles.
    pub const CYCLES: &str = "cycles";
    /// Exact only: mutable i64 global, frame slots left. Set by the engine.
    pub const SLOTS: &str = "slots";

    /// Initially. In a fast module, `unreachable` with this status means out of cycles: there the
    /// check is nothing but a conditional trap.
    pub const STATUS_NONE: i32 = 0;
    /// The program's own `unreachable` (fast modules only).
    pub const STATUS_UNREACHABLE: i32 = 1;
    /// Out of cycles (exact modules only).
    pub const STATUS_OUT_OF_CYCLES: i32 = 2;
    /// Out of frame slots; in a fast module perhaps some calls too early.
    pub const STATUS_OUT_OF_SLOTS: i32 = 3;
}
