//! How many interpreters a node needs so that it is never late, however many challenge it.
//!
//! A clock has `inclusion_delay + cycle_limit / interpreter_speed` seconds, from the deployment. In the
//! worst case a party plays as many games as have a seat, each about a task of its own that runs the
//! slowest code there is up to its limit (`verifier/ECONOMICS.md`, parameters of a deployment). The rule
//! is that all these runs together take no more than the clock does without one half of the inclusion
//! delay, which is left for the moves' way into blocks:
//!
//! ```text
//! SEATS * cycle_limit / (interpreters * SLOWEST) <= inclusion_delay / 2 + cycle_limit / interpreter_speed
//! ```
//!
//! With `SEATS * interpreter_speed / SLOWEST` interpreters it holds at every limit; with fewer up to some
//! limit.

use outcry_protocol::limits::CYCLE_LIMIT_MAX;
use outcry_verifier::game::SEATS;

/// Cycles per second that an interpreter makes on a core of its own with the slowest code there is.
const SLOWEST: u64 = 10_000_000;

/// What a deployment's clocks allow for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Seconds.
    pub inclusion_delay_s: u32,
    /// Cycles per second.
    pub interpreter_speed: u64,
}

impl Allowance {
    /// Interpreters with which the rule holds at every cycle limit.
    pub(crate) fn interpreters_needed(self) -> usize {
        let needed = (SEATS as u64).saturating_mul(self.interpreter_speed);
        usize::try_from(needed.div_ceil(SLOWEST)).unwrap_or(usize::MAX)
    }

    /// Interpreters that run at once: as configured, or, for 0, as many as are needed and have cores.
    pub(crate) fn interpreters(self, configured: u32, cores: usize) -> usize {
        match configured {
            0 => self.interpreters_needed().clamp(1, cores.max(1)),
            count => count as usize,
        }
    }

    /// The largest cycle limit up to which the rule holds with so many interpreters on so many cores.
    pub(crate) fn cycle_limit_covered(self, interpreters: usize, cores: usize) -> u64 {
        let speed = u128::from(self.interpreter_speed);
        let together = interpreters.min(cores) as u128 * u128::from(SLOWEST);
        // Both sides of the rule, multiplied with `together * interpreter_speed`.
        let lacking = (SEATS as u128 * speed).saturating_sub(together);
        let spare = u128::from(self.inclusion_delay_s / 2) * together * speed;
        let covered = spare.checked_div(lacking).unwrap_or(u128::MAX);
        u64::try_from(covered).map_or(CYCLE_LIMIT_MAX, |limit| limit.min(CYCLE_LIMIT_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `verifier/ECONOMICS.md` says for a public chain.
    const PUBLIC: Allowance = Allowance {
        inclusion_delay_s: 86_400,
        interpreter_speed: 2_500_000,
    };

    #[test]
    fn eight_cores_are_what_the_clocks_of_a_public_chain_are_made_for() {
        assert_eq!(PUBLIC.interpreters_needed(), 8);
        assert_eq!(PUBLIC.interpreters(0, 64), 8);
        assert_eq!(PUBLIC.interpreters(0, 2), 2);
        assert_eq!(PUBLIC.interpreters(3, 64), 3);
        assert_eq!(PUBLIC.cycle_limit_covered(8, 8), CYCLE_LIMIT_MAX);
    }

    #[test]
    fn fewer_cores_cover_smaller_tasks() {
        let covered = PUBLIC.cycle_limit_covered(2, 2);
        // Seconds that 32 such runs take, and those that a clock has for them.
        let runs = 32.0 * covered as f64 / 20e6;
        let clock = 43_200.0 + covered as f64 / 2.5e6;
        assert!((runs - clock).abs() < 1.0, "{runs} {clock}");
        assert_eq!(
            PUBLIC.cycle_limit_covered(8, 2),
            covered,
            "an interpreter without a core is none"
        );
        assert!(PUBLIC.cycle_limit_covered(7, 8) > covered);
        assert_eq!(PUBLIC.cycle_limit_covered(0, 8), 0);
    }
}
