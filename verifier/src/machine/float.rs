//! Float arithmetic as WebAssembly defines it, with one NaN. Values are bits in the low end of a slot.
//!
//! Additions, multiplications, divisions and roots are the processor's own: IEEE 754 leaves them no
//! choice but the bits of a NaN, and those are replaced. Rust evaluates `f32` and `f64` in their own
//! width on all targets that this crate builds for (no x87).

/// The canonical NaN of binary32.
pub const NAN_32: u32 = 0x7fc0_0000;
/// The canonical NaN of binary64.
pub const NAN_64: u64 = 0x7ff8_0000_0000_0000;

/// A width of float: how its bits lie in a slot.
pub trait Width: Copy {
    /// From the bits in a slot.
    fn of(slot: u64) -> Self;
    /// The bits with NaNs as they are.
    fn bits(self) -> u64;
    /// The bits with any NaN made canonical.
    fn canonical(self) -> u64;
}

impl Width for f32 {
    #[inline(always)]
    fn of(slot: u64) -> Self {
        Self::from_bits(slot as u32)
    }
    #[inline(always)]
    fn bits(self) -> u64 {
        self.to_bits().into()
    }
    #[inline(always)]
    fn canonical(self) -> u64 {
        if self.is_nan() {
            NAN_32.into()
        } else {
            self.bits()
        }
    }
}

impl Width for f64 {
    #[inline(always)]
    fn of(slot: u64) -> Self {
        Self::from_bits(slot)
    }
    #[inline(always)]
    fn bits(self) -> u64 {
        self.to_bits()
    }
    #[inline(always)]
    fn canonical(self) -> u64 {
        if self.is_nan() { NAN_64 } else { self.bits() }
    }
}

macro_rules! extremes {
    ($width:ty, $min:ident, $max:ident) => {
        /// WebAssembly's minimum: NaN if either is, and -0 below +0.
        #[inline(always)]
        pub fn $min(x: $width, y: $width) -> $width {
            if x.is_nan() || y.is_nan() {
                <$width>::NAN
            } else if x == y {
                // Equal but perhaps for the zeros' signs: a sign set in either wins.
                <$width>::from_bits(x.to_bits() | y.to_bits())
            } else if x < y {
                x
            } else {
                y
            }
        }

        /// WebAssembly's maximum: NaN if either is, and +0 above -0.
        #[inline(always)]
        pub fn $max(x: $width, y: $width) -> $width {
            if x.is_nan() || y.is_nan() {
                <$width>::NAN
            } else if x == y {
                <$width>::from_bits(x.to_bits() & y.to_bits())
            } else if x > y {
                x
            } else {
                y
            }
        }
    };
}

extremes!(f32, min_32, max_32);
extremes!(f64, min_64, max_64);

/// A float truncated to an integer within `low..high` (both exclusive bounds exact in `f64`).
#[inline(always)]
fn within(value: f64, low: f64, high: f64) -> Option<f64> {
    let truncated = value.trunc();
    (truncated > low && truncated < high).then_some(truncated)
}

/// Truncation to a signed 32-bit integer in a slot; `None` traps.
#[inline(always)]
pub fn to_i32(value: f64) -> Option<u64> {
    within(value, -2_147_483_649.0, 2_147_483_648.0).map(|v| v as i32 as u32 as u64)
}

/// Truncation to an unsigned 32-bit integer; `None` traps.
#[inline(always)]
pub fn to_u32(value: f64) -> Option<u64> {
    within(value, -1.0, 4_294_967_296.0).map(|v| v as u32 as u64)
}

/// Truncation to a signed 64-bit integer in a slot; `None` traps.
#[inline(always)]
pub fn to_i64(value: f64) -> Option<u64> {
    // -2^63 itself is in range; the next smaller float is 1,024 below.
    (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0)
        .contains(&value)
        .then_some(value as i64 as u64)
}

/// Truncation to an unsigned 64-bit integer; `None` traps.
#[inline(always)]
pub fn to_u64(value: f64) -> Option<u64> {
    within(value, -1.0, 18_446_744_073_709_551_616.0).map(|v| v as u64)
}
