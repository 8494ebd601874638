//! Proofs that somebody changed. Nothing may take one for a proof of another step, and the machine's
//! replay and the chain must refuse the same ones.

use alloy_primitives::B256;
use outcry_verifier::machine::replay;

use crate::agreement::Mismatches;
use crate::chain::{Chain, ChainError};
use crate::random::Random;

/// What tampering came to.
#[derive(Debug, Clone, Default)]
pub struct TamperReport {
    /// Changed proofs that were tried.
    pub tried: u64,
    /// Proofs that somebody took for a proof, or that replay and chain saw differently.
    pub mismatches: Mismatches,
}

/// Changes the proof of a step so many times, each time in another way.
pub fn tamper(
    chain: &mut Chain,
    before: B256,
    proof: &[u8],
    seed: u64,
    times: u64,
    report: &mut TamperReport,
) {
    let mut random = Random::new(seed);
    for _ in 0..times {
        let mut changed = proof.to_vec();
        let how = change(&mut changed, &mut random);
        if changed != proof {
            try_changed(chain, before, &changed, || how.to_owned(), report);
        }
    }
}

/// Flips each bit of a proof, one at a time.
pub fn flip_every_bit(chain: &mut Chain, before: B256, proof: &[u8], report: &mut TamperReport) {
    let mut changed = proof.to_vec();
    for bit in 0..8 * proof.len() {
        changed[bit / 8] ^= 1 << (bit % 8);
        let how = || format!("bit {} of byte {} flipped", bit % 8, bit / 8);
        try_changed(chain, before, &changed, how, report);
        changed[bit / 8] ^= 1 << (bit % 8);
    }
}

fn try_changed(
    chain: &mut Chain,
    before: B256,
    changed: &[u8],
    how: impl Fn() -> String,
    report: &mut TamperReport,
) {
    report.tried += 1;
    if let Ok(after) = replay(before, changed) {
        report.mismatches.add(|| {
            format!(
                "replay takes a proof with {} from {before} to {after}",
                how()
            )
        });
    }
    match chain.execute_bytes(before, changed) {
        Ok(step) => report.mismatches.add(|| {
            format!(
                "the chain takes a proof with {} from {before} to {}",
                how(),
                step.after
            )
        }),
        Err(ChainError::Refused(_)) => {}
        // A loop over what a stranger wrote, say.
        Err(error) => report.mismatches.add(|| {
            format!(
                "the chain does not refuse a proof with {} from {before}: {error}",
                how()
            )
        }),
    }
}

/// Changes bytes that have at least four words in one way; says how.
fn change(proof: &mut Vec<u8>, random: &mut Random) -> &'static str {
    let words = (proof.len() / 32) as u64;
    let place = |random: &mut Random| {
        let at = 32 * random.below(words) as usize;
        at..at + 32
    };
    match random.below(10) {
        0..=2 => {
            let bit = random.below(8 * proof.len() as u64) as usize;
            proof[bit / 8] ^= 1 << (bit % 8);
            "a bit flipped"
        }
        3 => {
            let byte = random.below(proof.len() as u64) as usize;
            proof[byte] = random.next() as u8;
            "a byte replaced"
        }
        4 => {
            let (from, to) = (place(random), place(random));
            let word = proof[from.clone()].to_vec();
            proof.copy_within(to.clone(), from.start);
            proof[to].copy_from_slice(&word);
            "two words swapped"
        }
        5 => {
            let (from, to) = (place(random), place(random));
            proof.copy_within(from, to.start);
            "a word copied over another"
        }
        6 => {
            let at = place(random);
            proof[at].fill(random.next() as u8 & 0x80);
            "a word wiped"
        }
        7 => {
            let bytes = match random.below(3) {
                0 => 1 + random.below(31),
                1 => 32,
                _ => 32 * (1 + random.below(words)),
            };
            proof.truncate(proof.len() - bytes as usize);
            "its end cut off"
        }
        8 => {
            let bytes = match random.below(3) {
                0 => 1 + random.below(31),
                1 => 32,
                _ => 32 * (1 + random.below(40)),
            };
            let filler = if random.below(2) == 0 {
                0
            } else {
                random.next() as u8
            };
            proof.extend(vec![filler; bytes as usize]);
            "more at its end"
        }
        _ => {
            let at = place(random);
            proof.drain(at);
            "a word taken out"
        }
    }
}
