//! The auction of reserved capacity: what is cleared is valid, what is changed is found, and all money
//! that is paid is earned.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, U256};
use outcry_clearing::Alone;
use outcry_clearing::check::check;
use outcry_protocol::auction::calendar::{Calendar, Term};
use outcry_protocol::auction::outcome::{self, Place};
use outcry_protocol::auction::settle::{self, Stream};
use outcry_protocol::auction::verify::{Fault, Wrong, check_group, disproof};
use outcry_protocol::auction::{
    Alternative, AuctionOrder, AuctionParameters, Backing, Entry, Outcome, Phase, Pool, clear,
    order, verify,
};
use outcry_protocol::limits::{
    AUCTION_COST_MAX, AUCTION_LIMIT_MAX, AUCTION_LOTS_MAX, AUCTION_PRICE_MAX, AUCTION_QUANTITY_MAX,
};
use proptest::prelude::*;

const POOLS: usize = 4;
const ROUND: u64 = 7;

fn cleared(orders: &[AuctionOrder]) -> clear::Cleared {
    clear(orders, POOLS, &Alone).unwrap()
}

fn order_of(backing: Backing, lots: u32, alternatives: &[(i64, &[(u16, i32)])]) -> AuctionOrder {
    let alternatives = alternatives.iter().map(|(limit, entries)| Alternative {
        limit: *limit,
        entries: entries
            .iter()
            .map(|&(pool, quantity)| Entry { pool, quantity })
            .collect(),
    });
    AuctionOrder {
        account: Address::repeat_byte(7),
        backing,
        lots,
        alternatives: alternatives.collect(),
        salt: B256::ZERO,
    }
}

/// A bundle and a limit of 40% to 160% of what it is worth; with `sells`, of either sign.
fn alternative(sells: bool, buys: bool) -> impl Strategy<Value = Alternative> {
    let quantity = (1..=9_i32, any::<bool>()).prop_map(move |(units, is_sale)| {
        if (is_sale && sells) || !buys {
            -units
        } else {
            units
        }
    });
    let bundle = prop::collection::btree_map(0..POOLS as u16, quantity, 1..=3);
    (bundle, 40..=160_i64, -9..=9_i64).prop_map(
        |(bundle, percent, more): (BTreeMap<_, _>, _, _)| {
            let worth: i64 = bundle
                .iter()
                .map(|(&pool, &quantity)| i64::from(quantity) * (100 + 50 * i64::from(pool)))
                .sum();
            Alternative {
                limit: worth * percent / 100 + more,
                entries: bundle
                    .into_iter()
                    .map(|(pool, quantity)| Entry { pool, quantity })
                    .collect(),
            }
        },
    )
}

fn any_order() -> impl Strategy<Value = AuctionOrder> {
    let of = |backing: Backing, sells: bool, buys: bool| {
        (
            prop::collection::vec(alternative(sells, buys), 1..=3),
            1..=12_u32,
        )
            .prop_map(move |(alternatives, lots)| AuctionOrder {
                account: Address::repeat_byte(7),
                backing,
                lots,
                alternatives,
                salt: B256::ZERO,
            })
    };
    let curve = (0..POOLS as u16, 1..=300_i64, 1..=60_u32)
        .prop_map(|(pool, cost, lots)| order_of(Backing::Curve, lots, &[(-cost, &[(pool, -1)])]));
    prop_oneof![
        5 => of(Backing::Holdings, false, true),
        2 => of(Backing::Holdings, true, true),
        1 => of(Backing::Capacity, true, false),
        3 => curve,
    ]
}

fn any_orders() -> impl Strategy<Value = Vec<AuctionOrder>> {
    prop::collection::vec(any_order(), 0..60)
}

/// One change of a result, by numbers that are taken modulo what there is.
#[derive(Debug, Clone, Copy)]
enum Change {
    Price(usize, bool),
    Lots(usize, usize, bool),
    Alternative(usize, usize, u8),
    Order(usize, usize, u16),
    Surplus(usize, usize, bool),
    Welfare(usize, bool),
    Volume(usize, bool),
    Swap(usize, usize),
    DropFill(usize, usize),
    DropGroup(usize),
    RepeatFill(usize, usize),
}

fn any_change() -> impl Strategy<Value = Change> {
    let n = any::<prop::sample::Index>;
    let (g, f, up) = (
        n().prop_map(|i| i.index(1 << 20)),
        n().prop_map(|i| i.index(1 << 20)),
        any::<bool>(),
    );
    (0..11_u8, g, f, up, 0..3_u8, 0..70_u16).prop_map(|(kind, g, f, up, alternative, order)| {
        match kind {
            0 => Change::Price(g, up),
            1 => Change::Lots(g, f, up),
            2 => Change::Alternative(g, f, alternative),
            3 => Change::Order(g, f, order),
            4 => Change::Surplus(g, f, up),
            5 => Change::Welfare(g, up),
            6 => Change::Volume(g, up),
            7 => Change::Swap(g, f),
            8 => Change::DropFill(g, f),
            9 => Change::DropGroup(g),
            _ => Change::RepeatFill(g, f),
        }
    })
}

/// The result with the change; it may be the same result.
fn changed(result: &Outcome, change: Change) -> Outcome {
    let mut changed = result.clone();
    let groups = changed.groups.len();
    match change {
        Change::Price(pool, up) => {
            let price = &mut changed.prices[pool % POOLS];
            *price = if up {
                *price + 1
            } else {
                price.saturating_sub(1)
            };
        }
        Change::Lots(g, f, up) => {
            let fills = &mut changed.groups[g % groups].fills;
            let at = f % fills.len();
            fills[at].lots = if up {
                fills[at].lots + 1
            } else {
                fills[at].lots - 1
            };
        }
        Change::Alternative(g, f, alternative) => {
            let fills = &mut changed.groups[g % groups].fills;
            let at = f % fills.len();
            fills[at].alternative = alternative;
        }
        Change::Order(g, f, order) => {
            let fills = &mut changed.groups[g % groups].fills;
            let at = f % fills.len();
            fills[at].order = order;
        }
        Change::Surplus(g, pool, up) => {
            changed.groups[g % groups].surplus[pool % POOLS] += if up { 1 } else { -1 };
        }
        Change::Welfare(g, up) => changed.groups[g % groups].welfare += if up { 1 } else { -1 },
        Change::Volume(g, up) => {
            let volume = &mut changed.groups[g % groups].volume;
            *volume = if up {
                *volume + 1
            } else {
                volume.saturating_sub(1)
            };
        }
        Change::Swap(g, f) => {
            let fills = &mut changed.groups[g % groups].fills;
            let at = f % fills.len();
            fills.swap(0, at);
        }
        Change::DropFill(g, f) => {
            let fills = &mut changed.groups[g % groups].fills;
            let at = f % fills.len();
            fills.remove(at);
        }
        Change::DropGroup(g) => {
            changed.groups.remove(g % groups);
        }
        Change::RepeatFill(g, f) => {
            let fills = &mut changed.groups[g % groups].fills;
            let at = f % fills.len();
            let fill = fills[at].clone();
            fills.insert(at, fill);
        }
    }
    changed
}

/// What every fill does, so that two results which differ in the names of equal orders alone are equal.
fn effects(orders: &[AuctionOrder], result: &Outcome) -> Option<Vec<(Alternative, u32)>> {
    let fills = result.groups.iter().flat_map(|group| &group.fills);
    fills
        .map(|fill| {
            let order = orders.get(usize::from(fill.order))?;
            let alternative = order.alternatives.get(usize::from(fill.alternative))?;
            Some((alternative.clone(), fill.lots))
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_clearing_is_valid_and_claims_its_own_welfare(orders in any_orders()) {
        let cleared = cleared(&orders);
        prop_assert!(check(&cleared.market, &cleared.clearing).holds());
        if cleared.outcome.groups.is_empty() {
            prop_assert_eq!(cleared.clearing.welfare, 0);
            return Ok(());
        }
        prop_assert_eq!(verify(&orders, POOLS, &cleared.outcome), Ok(()));
        prop_assert_eq!(cleared.outcome.welfare(), cleared.clearing.welfare);
    }

    #[test]
    fn payments_and_units_add_up_to_nothing(orders in any_orders()) {
        let Outcome { prices, groups } = cleared(&orders).outcome;
        let outcome = Outcome { prices, groups };
        let mut money = 0_i128;
        let mut bought_for = 0_i128;
        let mut units = [0_i64; POOLS];
        for (index, order) in orders.iter().enumerate() {
            let fills = outcome.fills_of(index as u16);
            let payment = settle::payment(order, fills, &outcome.prices);
            money += payment;
            bought_for += payment.max(0);
            for (pool, traded) in settle::traded(order, fills) {
                units[usize::from(pool)] += traded;
            }
            let most = order::deposit(order, &pools(0), 0);
            prop_assert!(payment <= 0 || U256::from(payment) <= most, "the deposit covers it");
        }
        prop_assert_eq!(money, 0);
        prop_assert!(bought_for <= i128::try_from(outcome.volume()).unwrap());
        for (units, price) in units.into_iter().zip(&outcome.prices) {
            prop_assert!(units == 0 || (units < 0 && *price == 0), "{} at {}", units, price);
        }
    }

    #[test]
    fn any_change_of_a_result_is_found_in_a_group_that_disproves_it(
        orders in any_orders(),
        change in any_change(),
    ) {
        let outcome = cleared(&orders).outcome;
        if outcome.groups.is_empty() {
            return Ok(());
        }
        let changed = changed(&outcome, change);
        let is_price_of_nothing = match change {
            Change::Price(pool, _) => orders.iter().enumerate().all(|(index, order)| {
                settle::traded(order, outcome.fills_of(index as u16))
                    .all(|(traded, _)| usize::from(traded) != pool % POOLS)
            }),
            _ => false,
        };
        let is_renamed = effects(&orders, &changed) == effects(&orders, &outcome);
        match verify(&orders, POOLS, &changed) {
            Ok(()) => prop_assert!(
                changed == outcome
                    || is_price_of_nothing
                    || (is_renamed && matches!(change, Change::Order(..) | Change::Alternative(..))),
                "{:?}", change
            ),
            Err(Fault::Group { group, wrong }) => {
                let shown = disproof(&changed, orders.len(), group).unwrap();
                let groups = changed.groups.len() as u16;
                for proof in shown.before.iter().chain([&shown.group]) {
                    prop_assert!(outcome::is_proved(proof, changed.root(), groups));
                }
                prop_assert_eq!(shown.before.len(), usize::from(group != 0));
                // What is shown is all that it takes to find the same.
                let mut known = vec![order_of(Backing::Holdings, 0, &[]); orders.len()];
                for index in shown.orders {
                    known[usize::from(index)] = orders[usize::from(index)].clone();
                }
                let before = shown.before.first().map(|proof| &proof.group);
                let found = check_group(&known, &changed.prices, before, &shown.group.group);
                prop_assert_eq!(found, Err(wrong));
            }
            Err(Fault::Unbalanced(_) | Fault::Malformed) => {}
        }
    }

    #[test]
    fn each_order_is_shown_to_have_fills_or_none(orders in any_orders()) {
        let outcome = cleared(&orders).outcome;
        let groups = outcome.groups.len();
        for index in 0..orders.len() as u16 {
            let proofs = outcome.prove_place(index);
            for proof in &proofs {
                prop_assert!(outcome::is_proved(proof, outcome.root(), groups as u16));
            }
            let in_any = outcome.groups.iter().any(|g| g.fills.iter().any(|f| f.order == index));
            match outcome.place(index) {
                Place::In(group) => {
                    prop_assert!(in_any);
                    prop_assert!(!outcome::fills_of(&outcome.groups[group], index).is_empty());
                }
                Place::Outside(around) => {
                    prop_assert!(!in_any);
                    let first = |g: usize| outcome.groups[g].fills.first().unwrap().order;
                    let last = |g: usize| outcome.groups[g].fills.last().unwrap().order;
                    match around.as_slice() {
                        [] => prop_assert_eq!(groups, 0),
                        [one] => prop_assert!(
                            (first(*one) < index && index < last(*one))
                                || (*one == 0 && index < first(0))
                                || (*one + 1 == groups && last(*one) < index)
                        ),
                        [left, right] => {
                            prop_assert_eq!(left + 1, *right);
                            prop_assert!(last(*left) < index && index < first(*right));
                        }
                        _ => prop_assert!(false, "more than two groups"),
                    }
                }
            }
        }
    }

    #[test]
    fn a_stream_pays_out_exactly_what_it_holds_whenever_it_is_asked(
        left in 0..u128::MAX >> 1,
        intervals in 1..=1024_u16,
        mut asked in prop::collection::vec(0..1100_u64, 0..20),
        fee_bps in 0..=500_u16,
    ) {
        let term = Term { season: 0, from: 5, intervals };
        let mut stream = Stream { term, paid: 0, left };
        asked.sort_unstable();
        asked.push(5 + 1024);
        let mut paid = 0;
        for now in asked {
            let (payout, after) = stream.earn(now, fee_bps);
            paid += payout.amount + payout.fee;
            prop_assert_eq!(paid + after.left, left);
            if now <= term.from {
                prop_assert_eq!(paid, 0, "nothing before the first interval is over");
            }
            stream = after;
        }
        prop_assert_eq!(stream.left, 0);
    }
}

fn pools(unit_deposit: u128) -> Vec<Pool> {
    let pool = Pool {
        region: 1,
        memoryMib: 1024,
        diskMib: 1024,
        egressMib: 0,
        attributes: U256::ZERO,
        speed: 1,
        unitDeposit: unit_deposit,
        machineVersion: 1,
    };
    vec![pool; POOLS]
}

#[test]
fn an_order_is_refused_just_beyond_each_bound() {
    let good = order_of(Backing::Holdings, 1, &[(5, &[(0, 1), (3, -1)])]);
    assert_eq!(order::check(&good, POOLS), Ok(()));
    let with = |change: &dyn Fn(&mut AuctionOrder)| {
        let mut order = good.clone();
        change(&mut order);
        order::check(&order, POOLS)
    };
    assert_eq!(with(&|o| o.lots = AUCTION_LOTS_MAX), Ok(()));
    assert!(with(&|o| o.lots = AUCTION_LOTS_MAX + 1).is_err());
    assert!(with(&|o| o.lots = 0).is_err());
    assert!(with(&|o| o.alternatives.clear()).is_err());
    assert_eq!(
        with(&|o| o.alternatives = vec![o.alternatives[0].clone(); 8]),
        Ok(())
    );
    assert!(with(&|o| o.alternatives = vec![o.alternatives[0].clone(); 9]).is_err());
    assert!(with(&|o| o.alternatives[0].entries.clear()).is_err());
    assert!(
        with(&|o| o.alternatives[0].entries[1].pool = 0).is_err(),
        "twice"
    );
    assert!(with(&|o| o.alternatives[0].entries[1].pool = POOLS as u16).is_err());
    assert!(
        with(&|o| o.alternatives[0].entries.swap(0, 1)).is_err(),
        "descending"
    );
    assert_eq!(
        with(&|o| o.alternatives[0].entries[0].quantity = -AUCTION_QUANTITY_MAX),
        Ok(())
    );
    for quantity in [
        0,
        AUCTION_QUANTITY_MAX + 1,
        -AUCTION_QUANTITY_MAX - 1,
        i32::MIN,
    ] {
        assert!(with(&|o| o.alternatives[0].entries[0].quantity = quantity).is_err());
    }
    assert_eq!(
        with(&|o| o.alternatives[0].limit = -AUCTION_LIMIT_MAX),
        Ok(())
    );
    for limit in [AUCTION_LIMIT_MAX + 1, -AUCTION_LIMIT_MAX - 1, i64::MIN] {
        assert!(with(&|o| o.alternatives[0].limit = limit).is_err());
    }

    let curve = order_of(Backing::Curve, 9, &[(-AUCTION_COST_MAX, &[(2, -1)])]);
    assert_eq!(order::check(&curve, POOLS), Ok(()));
    assert!(order::ask(AUCTION_COST_MAX, 7) as u64 <= AUCTION_PRICE_MAX);
    for other in [
        order_of(Backing::Curve, 9, &[(-AUCTION_COST_MAX - 1, &[(2, -1)])]),
        order_of(Backing::Curve, 9, &[(1, &[(2, -1)])]),
        order_of(Backing::Curve, 9, &[(-1, &[(2, -2)])]),
        order_of(Backing::Curve, 9, &[(-1, &[(2, -1), (3, -1)])]),
        order_of(Backing::Curve, 9, &[(-1, &[(2, -1)]), (-2, &[(2, -1)])]),
    ] {
        assert_eq!(order::check(&other, POOLS), Err(order::OrderError::Curve));
    }
}

#[test]
fn the_largest_orders_clear_and_add_up() {
    let largest = [
        order_of(
            Backing::Curve,
            AUCTION_LOTS_MAX,
            &[(-AUCTION_COST_MAX, &[(0, -1)])],
        ),
        order_of(
            Backing::Capacity,
            AUCTION_LOTS_MAX,
            &[(-AUCTION_LIMIT_MAX, &[(1, -AUCTION_QUANTITY_MAX)])],
        ),
        order_of(
            Backing::Holdings,
            AUCTION_LOTS_MAX,
            &[
                (AUCTION_LIMIT_MAX, &[(0, 1)]),
                (AUCTION_LIMIT_MAX, &[(1, 1)]),
            ],
        ),
    ];
    let cleared = cleared(&largest);
    assert_eq!(verify(&largest, POOLS, &cleared.outcome), Ok(()));
    let value = i128::from(AUCTION_LIMIT_MAX) * i128::from(AUCTION_LOTS_MAX);
    let asks = order::asks(AUCTION_COST_MAX, AUCTION_LOTS_MAX, AUCTION_LOTS_MAX).0;
    assert_eq!(cleared.outcome.welfare(), value - asks);
}

#[test]
fn a_curve_asks_for_more_the_more_of_it_is_used() {
    // Eighths of 10 lots: 1, 1, 1, 2, 1, 1, 1, 2.
    let sums: Vec<_> = (0..=10).map(|used| order::asks(100, 10, used)).collect();
    let dearest: Vec<_> = sums.iter().map(|(_, dearest)| *dearest).collect();
    assert_eq!(
        dearest,
        [0, 100, 100, 105, 110, 110, 120, 135, 160, 200, 200]
    );
    for used in 1..=10 {
        assert_eq!(sums[used].0 - sums[used - 1].0, i128::from(dearest[used]));
    }
    // One slot alone lies in the last eighth; fractions are asked for in full.
    assert_eq!(order::asks(101, 1, 1), (202, 202));
    assert_eq!(order::ask(1, 2), 2);
    assert_eq!(order::ask(0, 7), 0);
}

#[test]
fn a_deposit_covers_what_is_paid_and_what_is_promised() {
    let deposit = |order: &AuctionOrder| order::deposit(order, &pools(50), 30).to::<u64>();
    let buys = order_of(Backing::Holdings, 3, &[(100, &[(0, 1)]), (140, &[(1, 2)])]);
    assert_eq!(deposit(&buys), 3 * 140);
    let sells = order_of(Backing::Holdings, 3, &[(-100, &[(0, -1)])]);
    assert_eq!(deposit(&sells), 3 * 100, "what it asks for");
    let free = order_of(Backing::Holdings, 3, &[(0, &[(0, -1)])]);
    assert_eq!(deposit(&free), 30, "the least");
    let dear = order_of(Backing::Capacity, 3, &[(-200, &[(0, -1), (1, -2)])]);
    assert_eq!(deposit(&dear), 3 * 200);
    let cheap = order_of(Backing::Capacity, 3, &[(-100, &[(0, -1), (1, -2)])]);
    assert_eq!(deposit(&cheap), 3 * 3 * 50);
    let both = order_of(Backing::Capacity, 3, &[(10, &[(0, 2), (1, -2)])]);
    assert_eq!(deposit(&both), 3 * (10 + 2 * 50));
    assert_eq!(order::set_aside(&both, POOLS), [0, 6, 0, 0]);
}

#[test]
fn nothing_is_posted_where_nothing_is_traded() {
    let apart = [
        order_of(Backing::Holdings, 1, &[(10, &[(0, 1)])]),
        order_of(Backing::Curve, 8, &[(-100, &[(0, -1)])]),
    ];
    let outcome = cleared(&apart).outcome;
    assert!(outcome.groups.is_empty());
    assert_eq!(verify(&apart, POOLS, &outcome), Err(Fault::Malformed));
}

#[test]
fn a_result_that_serves_somebody_above_its_limit_is_wrong_in_that_group() {
    let orders = [
        order_of(Backing::Holdings, 1, &[(500, &[(0, 1)])]),
        order_of(Backing::Curve, 1, &[(-100, &[(0, -1)])]),
    ];
    let mut outcome = cleared(&orders).outcome;
    outcome.prices[0] = 501;
    outcome.groups[0].volume = 501;
    let limit = |order| {
        Err(Fault::Group {
            group: 0,
            wrong: Wrong::Limit(order),
        })
    };
    assert_eq!(verify(&orders, POOLS, &outcome), limit(0));
    outcome.prices[0] = 199;
    outcome.groups[0].volume = 199;
    assert_eq!(verify(&orders, POOLS, &outcome), limit(1));
}

#[test]
fn the_seed_depends_on_every_revealed_order_and_not_on_when_it_was_revealed() {
    // Two buyers bid the same for the one unit: their keys decide.
    let buyer = |salt| AuctionOrder {
        salt: B256::with_last_byte(salt),
        ..order_of(Backing::Holdings, 1, &[(500, &[(0, 1)])])
    };
    let seller = order_of(Backing::Curve, 1, &[(-100, &[(0, -1)])]);
    let orders = [buyer(1), buyer(2), seller.clone()];
    let [a, b, c] = orders.each_ref().map(order::digest);
    let seed = order::seed([a, b, c]);
    assert_eq!(seed, order::seed([c, a, b]));
    assert_ne!(seed, order::seed([a, b]));
    assert_ne!(order::key(a, seed), order::key(a, order::seed([a, b])));
    assert_ne!(order::key(a, seed), order::key(b, seed));
    let (one, other) = (cleared(&orders), cleared(&[buyer(2), buyer(1), seller]));
    let gets = |cleared: &clear::Cleared, place| !cleared.outcome.fills_of(place).is_empty();
    assert_ne!(gets(&one, 0), gets(&one, 1));
    assert_eq!(gets(&one, 0), gets(&other, 1));
}

#[test]
fn the_hash_of_the_orders_names_their_places() {
    let orders = [
        order_of(Backing::Holdings, 1, &[(500, &[(0, 1)])]),
        order_of(Backing::Curve, 1, &[(-100, &[(0, -1)])]),
    ];
    let [first, second] = [
        order::leaf(ROUND, 0, &orders[0]),
        order::leaf(ROUND, 1, &orders[1]),
    ];
    let one = order::next_orders_hash(B256::ZERO, first);
    assert_eq!(
        order::orders_hash([first, second]),
        order::next_orders_hash(one, second)
    );
    assert_ne!(
        order::orders_hash([first, second]),
        order::orders_hash([second, first])
    );
}

#[test]
fn rounds_follow_each_other_without_gaps_and_decide_to_the_end_of_a_season() {
    let parameters = AuctionParameters {
        market: Address::ZERO,
        token: Address::ZERO,
        start: 1_000,
        intervalS: 100,
        intervals: 4,
        commitS: 40,
        revealS: 20,
        postS: 20,
        feeBps: 100,
        resultBond: 1,
        depositMin: 1,
        drawS: 5,
        drawFeeBps: 100,
    };
    let calendar = Calendar::of(&parameters).unwrap();
    assert_eq!(calendar.round_at(999), None);
    assert_eq!(calendar.round_at(1_000), Some(0));
    assert_eq!(calendar.round_at(1_299), Some(2));
    let phases = [
        (1_199, Phase::Ahead),
        (1_200, Phase::Commit),
        (1_240, Phase::Reveal),
        (1_260, Phase::Post),
        (1_280, Phase::Dispute),
        (1_299, Phase::Dispute),
        (1_300, Phase::Final),
    ];
    for (now, phase) in phases {
        assert_eq!(calendar.phase(2, now), phase, "at {now}");
    }
    let term = |round| {
        let Term {
            season,
            from,
            intervals,
        } = calendar.term(round);
        (season, from, intervals)
    };
    assert_eq!(term(0), (0, 1, 3));
    assert_eq!(term(2), (0, 3, 1));
    assert_eq!(term(3), (1, 4, 4));
    assert_eq!(calendar.season_end(0), 1_400);
    assert!(
        Calendar::of(&AuctionParameters {
            postS: 40,
            ..parameters
        })
        .is_none()
    );
}
