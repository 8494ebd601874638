//! How often somebody may ask for something: so many at once, and one more after each pause.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A limit per key, with a limit on keys.
///
/// The generic cell rate algorithm (ITU-T I.371): one instant per key, the one at which its
/// allowance is whole again.
#[derive(Debug)]
pub struct RateLimit<K> {
    burst: u32,
    pause: Duration,
    keys_max: usize,
    whole_at: Mutex<BTreeMap<K, Instant>>,
}

impl<K: Ord + Copy> RateLimit<K> {
    /// `burst` at once and one more after each `pause`, for up to `keys_max` keys at a time.
    #[must_use]
    pub fn new(burst: u32, pause: Duration, keys_max: usize) -> Self {
        Self {
            burst,
            pause,
            keys_max,
            whole_at: Mutex::default(),
        }
    }

    /// Whether `key` may, at `now`; if so, it has. A key beyond `keys_max` may not.
    pub fn take(&self, key: K, now: Instant) -> bool {
        let mut whole_at = self.whole_at.lock().unwrap_or_else(PoisonError::into_inner);
        if !whole_at.contains_key(&key) && whole_at.len() >= self.keys_max {
            // A key whose allowance is whole is as good as one that was never seen.
            whole_at.retain(|_, whole| *whole > now);
            if whole_at.len() >= self.keys_max {
                return false;
            }
        }
        let from = whole_at.get(&key).copied().unwrap_or(now).max(now);
        let until = from + self.pause;
        let is_allowed = until.duration_since(now) <= self.pause * self.burst;
        if is_allowed {
            whole_at.insert(key, until);
        }
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(1);

    #[test]
    fn a_key_has_its_burst_and_then_one_more_after_each_pause() {
        let limit = RateLimit::new(3, PAUSE, 10);
        let start = Instant::now();
        let taken = (0..5).filter(|_| limit.take(1, start)).count();
        assert_eq!(taken, 3);
        assert!(limit.take(2, start), "another key has its own");
        assert!(limit.take(1, start + PAUSE));
        assert!(!limit.take(1, start + PAUSE));
        let later = start + 10 * PAUSE;
        let taken = (0..5).filter(|_| limit.take(1, later)).count();
        assert_eq!(taken, 3, "a long silence saves up no more than the burst");
    }

    #[test]
    fn memory_is_bounded_and_idle_keys_make_room() {
        let limit = RateLimit::new(1, PAUSE, 2);
        let start = Instant::now();
        assert!(limit.take(1, start) && limit.take(2, start));
        assert!(!limit.take(3, start));
        assert!(limit.take(3, start + PAUSE));
    }
}
