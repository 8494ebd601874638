//! Providers that are matched but do not deliver.
//!
//! A killed provider's offer stays in everybody's book until it expires, and by the rules it keeps
//! winning the bids that it suits best. So each node watches: a match that is made again and again
//! while no deal opens, or a deal that fails (it misses its deadline, its output is withheld, its
//! claim is refuted), bars that provider from that bid for a while, and the next best takes it. Bars are advice, like the matching itself: where two nodes
//! disagree the contract decides.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256};

/// Blocks for which one match may be made again without a deal. Opening takes one or two.
const PATIENCE_BLOCKS: u64 = 5;
/// Blocks for which a provider that did not deliver is passed over.
const BAR_BLOCKS: u64 = 60;

/// Who is waited for, and who is passed over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Absences {
    /// Block since which a bid and an offer are matched without interruption.
    waiting: BTreeMap<(B256, B256), u64>,
    /// Block at which a provider's bar from a bid ends.
    barred: BTreeMap<(B256, Address), u64>,
}

impl Absences {
    /// Notes the matches of an epoch (bid, offer, provider); returns who is barred from which bid
    /// from here on.
    pub fn matched(
        &mut self,
        block: u64,
        matches: &[(B256, B256, Address)],
    ) -> Vec<(B256, Address)> {
        let before = std::mem::take(&mut self.waiting);
        let mut absent = Vec::new();
        for (bid, offer, provider) in matches {
            let since = before.get(&(*bid, *offer)).copied().unwrap_or(block);
            if block.saturating_sub(since) < PATIENCE_BLOCKS {
                self.waiting.insert((*bid, *offer), since);
            } else if self.bar(*bid, *provider, block) {
                absent.push((*bid, *provider));
            }
        }
        absent
    }

    /// A deal of the bid and the offer opened: its provider is there.
    pub fn opened(&mut self, bid: B256, offer: B256) {
        self.waiting.remove(&(bid, offer));
    }

    /// Passes a provider over for a bid from `block` on; false if it is already.
    pub fn bar(&mut self, bid: B256, provider: Address, block: u64) -> bool {
        self.barred
            .insert((bid, provider), block.saturating_add(BAR_BLOCKS))
            .is_none()
    }

    /// Ends the bars whose time is over and returns them.
    pub fn lift(&mut self, block: u64) -> Vec<(B256, Address)> {
        let over: Vec<_> = self
            .barred
            .iter()
            .filter(|(_, until)| **until <= block)
            .map(|(key, _)| *key)
            .collect();
        for key in &over {
            self.barred.remove(key);
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BID: B256 = B256::repeat_byte(1);
    const OFFER: B256 = B256::repeat_byte(2);
    const PROVIDER: Address = Address::repeat_byte(3);
    const MATCH: [(B256, B256, Address); 1] = [(BID, OFFER, PROVIDER)];

    #[test]
    fn a_provider_that_lets_a_match_lapse_is_passed_over_for_a_while() {
        let mut absences = Absences::default();
        for block in 10..15 {
            assert!(absences.matched(block, &MATCH).is_empty());
        }
        assert_eq!(absences.matched(15, &MATCH), [(BID, PROVIDER)]);
        assert!(absences.lift(74).is_empty());
        assert_eq!(absences.lift(75), [(BID, PROVIDER)]);
        assert!(absences.lift(76).is_empty());
    }

    #[test]
    fn a_provider_that_opens_its_deals_is_never_passed_over() {
        let mut absences = Absences::default();
        for block in 10..60 {
            assert!(absences.matched(block, &MATCH).is_empty());
            if block % 4 == 0 {
                absences.opened(BID, OFFER);
            }
        }
    }

    #[test]
    fn an_interrupted_match_is_waited_for_anew() {
        let mut absences = Absences::default();
        for block in 10..15 {
            absences.matched(block, &MATCH);
        }
        absences.matched(15, &[]);
        assert!(absences.matched(16, &MATCH).is_empty());
    }
}
