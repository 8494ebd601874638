//! Prices and epochs: the same on every node that stands on the same chain, however it came there.

use outcry_protocol::history::Filter;
use outcry_store::keys::{Prefix, Table};
use outcry_store::{Batch, Key, entries};

use super::*;
use crate::state::epochs::EPOCHS_MAX;

const ALL: Filter = Filter {
    token: TOKEN,
    region: None,
    class: None,
};

/// The events of a deal that is paid, each for a block of its own.
fn deal_paid(cell: u32, paid: u128) -> [Observed; 3] {
    let (signed, _) = signed_bid(2);
    let terms = outcry_protocol::deal::terms(
        &domain(),
        &signed.bid,
        &offer(1, 1),
        &signed.job,
        cell,
        0,
        2,
        START + 1,
    )
    .unwrap();
    let deal = domain().deal_id(&terms);
    let terms = Box::new(terms);
    let change = Change::Paid { paid, fee: 0 };
    [
        Observed::Opened { deal, terms },
        claimed(deal),
        Observed::Changed { deal, change },
    ]
}

fn trade(node: &mut Bench, cell: u32, at: u64, paid: u128) {
    for (seconds, event) in (at..).zip(deal_paid(cell, paid)) {
        node.block(seconds, vec![event]);
    }
}

/// What blocks wrote.
fn written(node: &Bench) -> Vec<(Key, Vec<u8>)> {
    let tables = [Table::Deal, Table::Candle, Table::Singleton];
    let all = tables.map(|table| {
        entries(&node.store, &Prefix::table(table))
            .map(Result::unwrap)
            .collect::<Vec<_>>()
    });
    all.concat()
}

#[test]
fn a_price_that_was_paid_survives_a_restart_and_the_deals_end() {
    let mut node = Bench::gateway();
    trade(&mut node, 1, 10, 30);
    let now = node.state.head.at;
    let page = node
        .state
        .prices
        .page(&ALL, 60, (START, now), 10, now)
        .unwrap();
    assert_eq!(page.candles.len(), 1);
    let candle = &page.candles[0].1;
    // 30 base units for the 10 cycles of the claim, 64 MiB held from second 1 to second 11.
    assert_eq!(candle.open.price, 3_000_000_000_000_000_000);
    assert_eq!(
        (candle.totals.held_s, candle.totals.memory_mib_s),
        (10, 640)
    );
    let kept = node.state.prices.clone();
    node.restart();
    assert_eq!(node.state.prices, kept);
    let deal = *node.state.deals.keys().next().unwrap();
    node.apply(Fact::Pruned(Prunable {
        deals: vec![deal],
        ..Prunable::default()
    }));
    node.restart();
    assert!(node.state.deals.is_empty());
    assert_eq!(node.state.prices, kept);
}

#[test]
fn a_fork_takes_back_what_was_paid_in_its_blocks_and_nothing_else() {
    let mut node = Bench::gateway();
    trade(&mut node, 1, 10, 30);
    let (block, before, kept) = (node.block, written(&node), node.state.prices.clone());
    trade(&mut node, 2, 20, 50);
    assert_ne!(node.state.prices, kept);
    // The follower puts back what the blocks overwrote; then the state is read again.
    let mut batch = Batch::new();
    for (key, _) in written(&node) {
        batch.delete(key);
    }
    for (key, value) in before {
        batch.put(key, value);
    }
    node.store.apply(&batch).unwrap();
    node.state.load(&node.store).unwrap();
    node.state.rewind(block);
    node.block = block;
    assert_eq!(node.state.prices, kept);
    assert_eq!(node.state.epochs.last().unwrap().block.number, block);
    trade(&mut node, 3, 30, 70);
    let mut other = Bench::gateway();
    trade(&mut other, 1, 10, 30);
    trade(&mut other, 3, 30, 70);
    assert_eq!(node.state.prices, other.state.prices);
    assert_eq!(node.state.prices.position().deals, 2);
}

#[test]
fn a_node_that_reads_many_blocks_at_once_has_the_history_of_one_that_saw_each() {
    let mut node = Bench::gateway();
    let mut events = Vec::new();
    for cell in 0..10u32 {
        let at = u64::from(cell) * 20_000;
        trade(&mut node, cell, at, 30 + u128::from(cell));
        for (seconds, observed) in (at..).zip(deal_paid(cell, 30 + u128::from(cell))) {
            let place = Place {
                block: events.len() as u64 + 1,
                at: START + seconds,
                log_index: 0,
                transaction: B256::repeat_byte(9),
            };
            events.push(Event { place, observed });
        }
    }
    let mut late = Bench::gateway();
    let last = node.state.head;
    late.apply(Fact::Blocks {
        last,
        is_head: true,
        events,
        facts: Vec::new(),
    });
    let now = last.at;
    assert_eq!(late.state.prices.position(), node.state.prices.position());
    for interval in outcry_protocol::history::INTERVALS_S {
        let page = |of: &Bench| {
            of.state
                .prices
                .page(&ALL, interval, (0, now), 1_000, now)
                .unwrap()
        };
        assert_eq!(page(&late), page(&node));
        assert!(!page(&late).candles.is_empty());
    }
}

#[test]
fn what_no_answer_shows_any_more_leaves_the_disk() {
    let mut node = Bench::gateway();
    trade(&mut node, 1, 10, 30);
    let candles = |node: &Bench| entries(&node.store, &Prefix::table(Table::Candle)).count();
    assert_eq!(candles(&node), 2, "a minute and an hour");
    let changes = node.block(3 * 86_400, vec![]);
    assert!(changes.chain.is_empty(), "a fork need not bring it back");
    assert_eq!(candles(&node), 1);
    let kept = node.state.prices.clone();
    node.restart();
    assert_eq!(node.state.prices, kept);
}

#[test]
fn nodes_that_learned_orders_in_another_order_name_their_epochs_alike() {
    let orders: Vec<Message> = (0..5)
        .flat_map(|salt| {
            let (mut bid, _) = signed_bid(2);
            bid.bid.salt = U256::from(100 + salt);
            let offer = SignedOffer {
                offer: offer(2, salt),
                signature: vec![1],
            };
            [Message::Bid(bid), Message::Offer(offer)]
        })
        .collect();
    let (mut node, mut other) = (Bench::gateway(), Bench::gateway());
    for bench in [&mut node, &mut other] {
        bench.block(0, vec![]);
    }
    for order in &orders {
        node.apply(Fact::Order(order.clone()));
    }
    // The other loses some, hears others twice, and gets the rest from a neighbour's book.
    for order in orders
        .iter()
        .rev()
        .step_by(2)
        .chain(&orders[..3])
        .chain(orders.iter().rev())
    {
        other.apply(Fact::Order(order.clone()));
        other.apply(Fact::Arrivals);
    }
    for bench in [&mut node, &mut other] {
        bench.block(1, vec![]);
    }
    let epoch = *node.state.epochs.last().unwrap();
    assert!(epoch.matched > 0);
    assert_eq!(Some(&epoch), other.state.epochs.last());
    other.block(2, vec![]);
    let (fewer, _) = signed_bid(1);
    node.apply(Fact::Order(Message::Bid(fewer)));
    node.block(2, vec![]);
    assert_ne!(node.state.epochs.last(), other.state.epochs.last());
    for at in 0..EPOCHS_MAX as u64 {
        node.block(3 + at, vec![]);
    }
    assert_eq!(node.state.epochs.since(0).count(), EPOCHS_MAX);
    let newest = node.block;
    assert_eq!(node.state.epochs.since(newest).count(), 1);
}
