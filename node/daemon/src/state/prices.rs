//! What settled deals paid: fed by blocks, written with them, and so undone with them.

use alloy::primitives::{Address, B256};
use outcry_protocol::class::Class;
use outcry_protocol::deal as terms;
use outcry_protocol::history::{Candle, History, Key, Position, Resolution, Series, Settled};
use outcry_store::keys::{self, Prefix, Table};
use outcry_store::{Store, StoreError, entries};

use super::deal::{Change, DealRecord};
use super::{Changes, State, journal};

/// What the price history takes of a deal, once its price was released.
#[must_use]
pub fn settled(deal: &DealRecord) -> Option<Settled> {
    let (place, paid) = deal
        .history
        .iter()
        .find_map(|(place, change)| match change {
            Change::Paid { paid, .. } => Some((place, *paid)),
            _ => None,
        })?;
    let claim = deal.claim()?;
    Some(Settled {
        block: place.block,
        log_index: place.log_index,
        at: place.at,
        deal: deal.id,
        token: deal.terms.token,
        region: terms::region(&deal.terms),
        reserved: terms::reserved(&deal.terms),
        cycles: claim.claim.cycles,
        paid,
        held_s: claim.place.at.saturating_sub(deal.terms.openedAt),
    })
}

fn position_key() -> outcry_store::Key {
    keys::singleton("prices")
}

fn store_key(key: &Key) -> outcry_store::Key {
    let Series {
        token,
        region,
        class,
    } = key.series;
    // 60 or 3600.
    let length_s = key.resolution.seconds() as u32;
    keys::candle(length_s, key.start, &token.0.0, region, class.id())
}

fn read_key(key: &outcry_store::Key) -> Option<Key> {
    let fields = key.after(&Prefix::table(Table::Candle))?;
    let (length_s, rest) = fields.split_first_chunk::<4>()?;
    let (start, rest) = rest.split_first_chunk::<8>()?;
    let (token, rest) = rest.split_first_chunk::<20>()?;
    let [region, class] = <[u8; 2]>::try_from(rest).ok()?;
    Some(Key {
        resolution: Resolution::of_seconds(u32::from_be_bytes(*length_s).into())?,
        start: u64::from_be_bytes(*start),
        series: Series {
            token: Address::new(*token),
            region,
            class: Class::from_id(class)?,
        },
    })
}

impl State {
    /// Takes a deal into the history whose price was just released.
    pub(super) fn price_paid(&mut self, deal: B256, changes: &mut Changes) {
        let Some(settled) = self.deals.get(&deal).and_then(settled) else {
            return;
        };
        let Some(changed) = self.prices.record(&settled) else {
            tracing::warn!(%deal, "a price was paid before the last one that is known");
            return;
        };
        for (key, candle) in changed {
            journal::put(&mut changes.chain, store_key(&key), &candle);
        }
        journal::put(&mut changes.chain, position_key(), self.prices.position());
    }

    /// Forgets prices that no answer shows any more. Not undone with a fork's blocks: more is held than
    /// a fork can make visible again.
    pub(super) fn forget_prices(&mut self, changes: &mut Changes) {
        for key in self.prices.forget(self.head.at) {
            changes.local.delete(store_key(&key));
        }
    }

    pub(super) fn load_prices(&mut self, store: &dyn Store) -> Result<(), StoreError> {
        let position: Position = match store.get(&position_key())? {
            Some(value) => journal::get(&position_key(), &value)?,
            None => Position::default(),
        };
        let mut candles: Vec<(Key, Candle)> = Vec::new();
        for entry in entries(store, &Prefix::table(Table::Candle)) {
            let (key, value) = entry?;
            let name = read_key(&key)
                .ok_or_else(|| StoreError::Damaged(format!("the key {key} names no candle")))?;
            candles.push((name, journal::get(&key, &value)?));
        }
        self.prices = History::restore(position, candles);
        Ok(())
    }
}
