//! Who adds up: sums over many orders may be split.

/// Splits work. The core has no threads of its own; the result is the same for every split, since
/// addition of integers commutes.
pub trait Workers: Sync {
    /// Into how many parts sums over many orders are split, at least 1.
    fn width(&self) -> usize;

    /// Calls `work` once on each of the parts, at the same time or one after the other.
    fn each<T: Send>(&self, parts: &mut [T], work: &(dyn Fn(&mut T) + Sync));
}

/// The caller's thread alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Workers for Alone {
    fn width(&self) -> usize {
        1
    }

    fn each<T: Send>(&self, parts: &mut [T], work: &(dyn Fn(&mut T) + Sync)) {
        parts.iter_mut().for_each(work);
    }
}
