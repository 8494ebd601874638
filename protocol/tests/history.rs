//! Price history: the same from the same deals, however they are cut up, and worth what they paid.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256};
use outcry_protocol::class::Class;
use outcry_protocol::history::{
    Candle, Filter, History, HistoryError, INTERVALS_S, Key, Page, Resolution, Settled, earned,
    share, utilisation_bps,
};
use outcry_protocol::limits::{
    CANDLES_KEPT_MAX, CANDLES_SPARE, CANDLES_SPARE_S, HOURS_KEPT_S, MINUTES_KEPT_S,
    PRICED_SPEED_MAX,
};
use outcry_protocol::types::Resources;
use proptest::prelude::*;

const TOKEN: Address = Address::repeat_byte(0x70);
/// A full day, so that every interval begins here.
const START: u64 = 20_000 * 86_400;
const ALL: Filter = Filter {
    token: TOKEN,
    region: None,
    class: None,
};

/// A deal in its own block.
fn deal(block: u64, at: u64, cycles: u64, paid: u128) -> Settled {
    Settled {
        block,
        log_index: 3,
        at,
        deal: B256::from(alloy_primitives::U256::from(block)),
        token: TOKEN,
        region: 0,
        reserved: Resources {
            memoryMib: 1024,
            diskMib: 0,
            gpuClass: 0,
            gpuCount: 0,
            egressMib: 0,
        },
        cycles,
        paid,
        held_s: 10,
    }
}

fn history(deals: &[Settled]) -> History {
    let mut history = History::default();
    for settled in deals {
        history.record(settled).unwrap();
    }
    history
}

fn prices(candle: &Candle) -> (u128, u128, u128, u128) {
    (
        candle.open.price,
        candle.high,
        candle.low,
        candle.close.price,
    )
}

#[test]
fn a_candle_has_the_first_the_highest_the_lowest_and_the_last_price_of_its_interval() {
    let g = 1_000_000_000;
    let deals = [
        deal(1, START + 1, g, 5),
        deal(2, START + 2, g, 9),
        deal(3, START + 58, 2 * g, 4),
        deal(4, START + 59, g, 3),
        deal(5, START + 60, g, 7),
    ];
    let history = history(&deals);
    let page = history
        .page(&ALL, 60, (START, START + 120), 10, START + 200)
        .unwrap();
    let (minute, next) = (page.candles[0], page.candles[1]);
    // Base units per 10^9 cycles, with nine further digits.
    assert_eq!(
        prices(&minute.1),
        (
            5 * u128::from(g),
            9 * u128::from(g),
            2 * u128::from(g),
            3 * u128::from(g)
        )
    );
    let totals = minute.1.totals;
    assert_eq!(
        (totals.deals, totals.cycles, totals.paid),
        (4, 5 * u128::from(g), 21)
    );
    assert_eq!(
        (minute.0, next.0, page.candles.len()),
        (START, START + 60, 2)
    );
    assert_eq!(
        prices(&next.1),
        (
            7 * u128::from(g),
            7 * u128::from(g),
            7 * u128::from(g),
            7 * u128::from(g)
        )
    );
    // 21 base units for 5 * 10^9 cycles, and for four times 10 s of a GiB.
    assert_eq!(totals.cycle_price(), Some(4_200_000_000));
    assert_eq!(totals.gib_hour_price(), Some(21 * 3_600_000_000_000 / 40));
}

#[test]
fn a_price_is_rounded_down_and_what_has_none_makes_no_candle_but_a_digest() {
    assert_eq!(deal(1, START, 3, 1).price(), Some(333_333_333_333_333_333));
    assert_eq!(deal(1, START, 0, 1).price(), None);
    assert_eq!(deal(1, START, 1, u128::MAX).price(), None);
    // In ten seconds no slot runs more.
    let most = 10 * PRICED_SPEED_MAX;
    assert_eq!(
        deal(1, START, most, most.into()).price(),
        Some(10u128.pow(18))
    );
    assert_eq!(deal(1, START, most + 1, most.into()).price(), None);
    let mut history = History::default();
    assert_eq!(history.record(&deal(1, START, 0, 1)), Some(Vec::new()));
    assert_eq!(history.record(&deal(2, START, 5, 0)), Some(Vec::new()));
    assert_eq!(history.position().deals, 2);
    assert_ne!(history.position().digest, B256::ZERO);
}

#[test]
fn a_deal_that_was_taken_in_before_changes_nothing() {
    let deals = [deal(1, START, 5, 5), deal(2, START, 6, 5)];
    let mut twice = history(&deals);
    for settled in &deals {
        assert_eq!(twice.record(settled), None);
    }
    assert_eq!(twice, history(&deals));
}

#[test]
fn the_digest_names_every_deal_and_their_order() {
    let mut seen = std::collections::BTreeSet::from([History::default().position().digest]);
    let one = deal(1, START, 5, 5);
    let others = [
        one.clone(),
        Settled {
            block: 2,
            ..one.clone()
        },
        Settled {
            log_index: 4,
            ..one.clone()
        },
        Settled {
            at: START + 1,
            ..one.clone()
        },
        Settled {
            deal: B256::ZERO,
            ..one.clone()
        },
        Settled {
            token: Address::ZERO,
            ..one.clone()
        },
        Settled {
            region: 1,
            ..one.clone()
        },
        Settled {
            cycles: 6,
            ..one.clone()
        },
        Settled {
            paid: 6,
            ..one.clone()
        },
        Settled {
            held_s: 11,
            ..one.clone()
        },
        Settled {
            reserved: Resources {
                memoryMib: 1023,
                ..one.reserved.clone()
            },
            ..one.clone()
        },
        Settled {
            reserved: Resources {
                diskMib: 1 << 20,
                ..one.reserved.clone()
            },
            ..one.clone()
        },
    ];
    for other in others {
        assert!(
            seen.insert(history(std::slice::from_ref(&other)).position().digest),
            "{other:?}"
        );
    }
    assert!(seen.insert(history(&[one, deal(2, START, 5, 5)]).position().digest));
}

#[test]
fn minutes_are_shown_for_two_days_and_hours_for_two_years_and_held_six_hours_longer() {
    const SPARE: u64 = CANDLES_SPARE_S;
    let mut history = history(&[deal(1, START, 5, 5), deal(2, START + 61, 5, 5)]);
    let now = START + MINUTES_KEPT_S + 60;
    let minutes = history.page(&ALL, 60, (0, now), 10, now).unwrap();
    assert_eq!((minutes.since, minutes.candles.len()), (START + 60, 1));
    let hours = history.page(&ALL, 3_600, (0, now), 10, now).unwrap();
    assert_eq!(hours.candles[0].1.totals.deals, 2);
    // Five minutes of which one is not shown are not shown.
    let fives = history.page(&ALL, 300, (0, now), 10, now).unwrap();
    assert_eq!((fives.since, fives.candles.len()), (START + 300, 0));
    assert!(history.forget(now + SPARE - 1).is_empty());
    let gone = history.forget(now + SPARE);
    let gone: Vec<_> = gone.iter().map(|key| (key.resolution, key.start)).collect();
    assert_eq!(gone, [(Resolution::Minute, START)]);
    assert_eq!(history.page(&ALL, 60, (0, now), 10, now).unwrap(), minutes);
    let now = START + HOURS_KEPT_S + 3_600;
    assert_eq!(history.forget(now + SPARE - 1).len(), 1, "the other minute");
    assert_eq!(
        history
            .page(&ALL, 3_600, (0, now - 1), 10, now - 1)
            .unwrap()
            .since,
        START + 3_600
    );
    assert_eq!(
        history
            .page(&ALL, 3_600, (0, now - 3_600), 10, now - 3_600)
            .unwrap()
            .candles
            .len(),
        1
    );
    assert_eq!(history.forget(now + SPARE).len(), 1);
}

#[test]
fn beyond_the_most_candles_the_oldest_go_and_the_answer_begins_after_them() {
    let mut history = History::default();
    // Two in the first minute, and the most that are shown in the next: tokens are anybody's to make.
    let add = |history: &mut History, minute: u64, count: usize| {
        for _ in 0..count {
            let block = history.position().deals + 1;
            let mut settled = deal(block, START + 60 * minute, 5, 5);
            settled.token = Address::from_word(B256::from(alloy_primitives::U256::from(block)));
            history.record(&settled).unwrap();
        }
    };
    add(&mut history, 0, 2);
    add(&mut history, 1, CANDLES_KEPT_MAX - 2);
    let since = |history: &History| {
        history
            .page(&ALL, 60, (START, START + 600), 10, START + 600)
            .unwrap()
            .since
    };
    assert_eq!(since(&history), START);
    add(&mut history, 1, 1);
    assert_eq!(
        since(&history),
        START + 60,
        "one of the first minute is too much"
    );
    assert!(history.forget(START + 600).is_empty());
    add(&mut history, 1, CANDLES_SPARE);
    let shown = since(&history);
    let gone = history.forget(START + 600);
    assert_eq!(
        (gone.len(), gone[0].start, shown, since(&history)),
        (2, START, START + 120, START + 120)
    );
}

#[test]
fn what_can_not_be_answered_says_what_to_ask_for() {
    let history = History::default();
    let page = |interval, range| history.page(&ALL, interval, range, 10, START);
    assert_eq!(page(61, (0, 1)), Err(HistoryError::Interval(61)));
    assert!(
        page(61, (0, 1))
            .unwrap_err()
            .to_string()
            .contains("1m, 5m, 15m, 1h")
    );
    for interval in INTERVALS_S {
        assert!(page(interval, (0, u64::MAX)).is_ok());
        assert!(page(interval, (7, 7)).is_err());
    }
    assert!(history.value(&ALL, (7, 7), START).is_err());
    assert!(history.value(&ALL, (0, u64::MAX), u64::MAX).is_ok());
}

#[test]
fn pages_follow_each_other_without_gap_or_overlap() {
    let deals: Vec<Settled> = (0..10)
        .map(|n| deal(n + 1, START + 90 * n, n + 1, 5))
        .collect();
    let history = history(&deals);
    let until = START + 3_600;
    let whole = history.page(&ALL, 60, (START, until), 100, until).unwrap();
    assert_eq!((whole.candles.len(), whole.next), (10, None));
    let mut paged = Vec::new();
    let mut since = Some(START);
    while let Some(from) = since {
        let page = history.page(&ALL, 60, (from, until), 3, until).unwrap();
        assert!(page.candles.len() <= 3);
        paged.extend(page.candles);
        since = page.next;
    }
    assert_eq!(paged, whole.candles);
}

#[test]
fn a_machine_earns_what_its_cycles_are_worth() {
    // 10^9 cycles a second for an hour, four slots, at 2 base units per 10^9 cycles.
    assert_eq!(earned(2_000_000_000, 1_000_000_000, 4, 3_600), 28_800);
    assert_eq!(earned(1, 1, 1, 1), 0);
    assert_eq!(earned(u128::MAX, u64::MAX, u32::MAX, u64::MAX), u128::MAX);
    // Slots were held for a quarter of an hour of the four hours that four slots offer.
    assert_eq!(utilisation_bps(900, 4, 3_600), Some(625));
    assert_eq!(
        utilisation_bps(1 << 100, 1, 1),
        Some(10_000),
        "slots that left the book were held, too"
    );
    assert_eq!(utilisation_bps(1, 0, 3_600), None);
    assert_eq!(
        (
            share(28_800, 625),
            share(3, 5_000),
            share(u128::MAX, 20_000)
        ),
        (1_800, 1, u128::MAX)
    );
}

/// Deals of a few blocks, in the order of the chain.
fn any_deals() -> impl Strategy<Value = Vec<Settled>> {
    let one = (
        0u64..400,
        0u8..2,
        0u32..3_000,
        0u64..1_000,
        prop_oneof![1 => Just(0u128), 9 => 1u128..1_000],
        0u64..100,
        any::<bool>(),
    );
    prop::collection::vec(one, 0..40).prop_map(|parts| {
        let mut at = START;
        let mut deals = Vec::new();
        for (index, (gap, region, memory, cycles, paid, held_s, other)) in (0..).zip(parts) {
            at += gap;
            let mut settled = deal(1 + index / 2, at, cycles, paid);
            (settled.log_index, settled.region, settled.held_s) = (index % 2, region, held_s);
            settled.reserved.memoryMib = memory;
            if other {
                settled.token = Address::ZERO;
            }
            deals.push(settled);
        }
        deals
    })
}

/// The same by the definition: group deals by interval, then look at each group.
fn by_definition(deals: &[Settled], filter: &Filter, interval: u64) -> Vec<(u64, [u128; 9])> {
    let mut groups: BTreeMap<u64, Vec<&Settled>> = BTreeMap::new();
    for settled in deals {
        let wanted = settled.token == filter.token
            && filter.region.is_none_or(|region| region == settled.region)
            && filter
                .class
                .is_none_or(|class| class == Class::of(&settled.reserved));
        if wanted && settled.cycles > 0 && settled.paid > 0 {
            groups
                .entry(settled.at / interval * interval)
                .or_default()
                .push(settled);
        }
    }
    let sum =
        |group: &[&Settled], of: fn(&Settled) -> u128| group.iter().map(|s| of(s)).sum::<u128>();
    groups
        .into_iter()
        .map(|(start, group)| {
            let prices: Vec<u128> = group
                .iter()
                .map(|s| s.paid * 1_000_000_000_000_000_000 / u128::from(s.cycles))
                .collect();
            let figures = [
                prices[0],
                *prices.iter().max().unwrap(),
                *prices.iter().min().unwrap(),
                *prices.last().unwrap(),
                group.len() as u128,
                sum(&group, |s| s.cycles.into()),
                sum(&group, |s| s.paid),
                sum(&group, |s| s.held_s.into()),
                sum(&group, |s| {
                    u128::from(s.held_s) * u128::from(s.reserved.memoryMib)
                }),
            ];
            (start, figures)
        })
        .collect()
}

fn figures(page: &Page) -> Vec<(u64, [u128; 9])> {
    let figures = |(start, candle): &(u64, Candle)| {
        let (open, high, low, close) = prices(candle);
        let t = &candle.totals;
        (
            *start,
            [
                open,
                high,
                low,
                close,
                t.deals.into(),
                t.cycles,
                t.paid,
                t.held_s,
                t.memory_mib_s,
            ],
        )
    };
    page.candles.iter().map(figures).collect()
}

proptest! {
    #[test]
    fn every_question_has_the_answer_that_follows_from_the_deals_by_definition(
        deals in any_deals(), region in prop::option::of(0u8..2), step in prop::option::of(0u8..5),
    ) {
        let history = history(&deals);
        let filter = Filter { token: TOKEN, region, class: step.and_then(Class::from_id) };
        for interval in INTERVALS_S {
            let now = START + 86_400;
            let page = history.page(&filter, interval, (START, now), 1_000, now).unwrap();
            prop_assert_eq!(figures(&page), by_definition(&deals, &filter, interval.into()));
        }
        let now = START + 86_400;
        let value = history.value(&filter, (START, now), now).unwrap();
        let expected = by_definition(&deals, &filter, 86_400);
        let totals = value.totals(|_| true);
        let expected = expected.first().map_or([0; 9], |(_, figures)| *figures);
        prop_assert_eq!(&[u128::from(totals.deals), totals.cycles, totals.paid, totals.held_s], &expected[4..8]);
    }

    #[test]
    fn candles_of_parts_merge_into_that_of_the_whole_in_any_order(
        (deals, shuffled) in any_deals().prop_flat_map(|deals| (Just(deals.clone()), Just(deals).prop_shuffle())),
        cut in 0usize..40,
    ) {
        let fold = |deals: &[Settled]| {
            deals.iter().filter_map(Settled::candle).reduce(|mut all, candle| {
                all.merge(&candle);
                all
            })
        };
        let (head, tail) = shuffled.split_at(cut.min(shuffled.len()));
        let parts = match (fold(head), fold(tail)) {
            (Some(mut head), Some(tail)) => {
                head.merge(&tail);
                Some(head)
            }
            (head, tail) => head.or(tail),
        };
        prop_assert_eq!(parts, fold(&deals));
    }

    #[test]
    fn a_history_that_was_written_candle_by_candle_is_read_back_as_it_was(deals in any_deals(), late: u16) {
        let mut history = History::default();
        let mut kept: BTreeMap<Key, Candle> = BTreeMap::new();
        for settled in &deals {
            kept.extend(history.record(settled).unwrap());
        }
        for key in history.forget(START + MINUTES_KEPT_S + u64::from(late)) {
            prop_assert!(kept.remove(&key).is_some());
        }
        prop_assert_eq!(History::restore(*history.position(), kept), history);
    }
}
