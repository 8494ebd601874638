//! What every clearing must be, on the five markets on which a rising clock never ends and on markets
//! of seeds. Each result is checked by code that the clearing does not share.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../bench/instances.rs"]
mod instances;

use instances::{add, instance, Instance, Order, Random, Shape};
use outcry_clearing::binary::{self, BinaryError};
use outcry_clearing::check::check;
use outcry_clearing::file::{parse, Kind};
use outcry_clearing::limits::{
    ALTERNATIVES_MAX, ENTRIES_MAX, LIMIT_MAX, LOTS_MAX, POOLS_MAX, PRICE_MAX, QUANTITY_MAX,
    SUPPLY_MAX,
};
use outcry_clearing::{
    clear, round_bound, Alone, Alternative, Clearing, Entry, Key, Market, MarketError, Supply,
    Workers,
};

/// Two threads.
struct Two;

impl Workers for Two {
    fn width(&self) -> usize {
        2
    }

    fn each<T: Send>(&self, parts: &mut [T], work: &(dyn Fn(&mut T) + Sync)) {
        std::thread::scope(|scope| {
            for part in parts {
                scope.spawn(move || work(part));
            }
        });
    }
}

fn cleared(market: &Market) -> Clearing {
    let clearing = clear(market, &Alone).unwrap();
    let verdict = check(market, &clearing);
    assert!(verdict.holds(), "{verdict:?}");
    assert!(clearing.rounds <= clearing.round_bound);
    assert!(clearing.moves <= clearing.move_bound);
    clearing
}

fn encoded(clearing: &Clearing) -> Vec<u8> {
    let mut bytes = Vec::new();
    clearing.encode(&mut |part| bytes.extend_from_slice(part));
    bytes
}

fn key_of(kind: Kind, id: u64) -> Key {
    Random(id << 1 | u64::from(kind == Kind::Order)).key()
}

const SCARCE: Shape = Shape {
    orders: 50,
    pools: 8,
    traders: 33,
    sellers: 0,
    supply: 12,
};
const USUAL: Shape = Shape {
    orders: 60,
    pools: 8,
    traders: 15,
    sellers: 10,
    supply: 40,
};

#[test]
fn the_five_markets_on_which_a_clock_never_ends_clear_at_their_best_welfare() {
    let files = [
        (include_str!("data/cx1_two_traders.txt"), 0),
        (include_str!("data/cx2_divisible_T1.txt"), 10),
        (include_str!("data/cx3_with_real_market.txt"), 3000),
        (include_str!("data/cx4_buy_more_than_sell.txt"), 0),
        (include_str!("data/cx5_compute.txt"), 2250),
    ];
    for (text, best) in files {
        let file = parse(text, &key_of).unwrap();
        let clearing = cleared(&file.market);
        assert_eq!(clearing.welfare, best, "{text}");
        assert!(clearing.upper_bound >= best);
    }
}

/// Small markets of any mix, most of them of traders, some with prices of a few units.
fn fuzzed(seed: u64) -> Market {
    let mut random = Random(seed);
    let pools = random.range(1, 6) as usize;
    let coarse = random.percent(30);
    let mut market = Market::new(pools).unwrap();
    for _ in 0..random.range(0, 3) {
        let supply = Supply {
            key: random.key(),
            pool: random.range(0, pools as i64 - 1) as u16,
            ask: random.range(0, if coarse { 5 } else { 5_000 }),
            quantity: random.range(1, 40),
        };
        market.add_supply(supply).unwrap();
    }
    for _ in 0..random.range(0, 14) {
        let mut alternatives = Vec::new();
        for _ in 0..random.range(1, 3) {
            let trader = random.percent(60);
            let mut entries: Vec<Entry> = Vec::new();
            for _ in 0..random.range(1, 4) {
                let pool = random.range(0, pools as i64 - 1) as u16;
                let sign = if trader && random.percent(50) { -1 } else { 1 };
                if entries.iter().all(|e| e.pool != pool) {
                    entries.push(Entry {
                        pool,
                        quantity: (sign * random.range(1, 24)) as i32,
                    });
                }
            }
            let limit = if coarse {
                random.range(-30, 60)
            } else {
                random.range(-60_000, 120_000)
            };
            alternatives.push((limit, entries));
        }
        let lots = if random.percent(50) {
            1
        } else {
            random.range(1, 9) as u32
        };
        let order = Order {
            key: random.key(),
            lots,
            alternatives,
        };
        add(&mut market, &order);
    }
    market
}

#[test]
fn fuzzed_trader_markets_end_within_the_bound_and_are_valid() {
    let count = match std::env::var_os("OUTCRY_SOAK") {
        Some(_) => 1_000_000,
        None => 1_000,
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let cleared_from = |first: usize| {
        let mut traded = 0;
        for (done, seed) in (first as u64..count).step_by(threads).enumerate() {
            let clearing = cleared(&fuzzed(seed));
            traded += u64::from(!clearing.accepted.is_empty());
            if done % 10_000 == 9_999 {
                println!("thread {first}: {} markets", done + 1);
            }
        }
        traded
    };
    let traded: u64 = std::thread::scope(|scope| {
        let parts: Vec<_> = (0..threads)
            .map(|first| scope.spawn(move || cleared_from(first)))
            .collect();
        parts.into_iter().map(|part| part.join().unwrap()).sum()
    });
    assert!(traded > count / 2, "{traded} of {count} traded");
}

#[test]
fn the_result_is_the_same_for_every_order_of_arrival_with_duplicates_and_two_threads() {
    for (seed, shape) in [
        (1, SCARCE),
        (2, USUAL),
        (
            3,
            Shape {
                orders: 20_000,
                pools: 40,
                ..USUAL
            },
        ),
    ] {
        let first = instance(shape, seed);
        let clearing = cleared(&first.market());
        let expected = encoded(&clearing);
        let mut random = Random(seed);
        let mut other: Instance = first.clone();
        for at in (1..other.orders.len()).rev() {
            other.orders.swap(at, random.range(0, at as i64) as usize);
        }
        for at in (1..other.supplies.len()).rev() {
            other.supplies.swap(at, random.range(0, at as i64) as usize);
        }
        for order in &mut other.orders {
            order.alternatives.iter_mut().for_each(|a| a.1.reverse());
        }
        let again: Vec<Order> = other.orders[..shape.orders / 3].to_vec();
        other.orders.extend(again);
        other.supplies.push(first.supplies[0]);
        assert_eq!(encoded(&cleared(&other.market())), expected);
        assert_eq!(encoded(&clear(&first.market(), &Two).unwrap()), expected);
    }
}

#[test]
fn the_bound_on_rounds_is_the_one_that_the_specification_states() {
    let bounds = [1, 4_096, 10_000, 100_000, 1_000_000].map(round_bound);
    assert_eq!(bounds, [2_938, 2_938, 332, 668, 836]);
}

#[test]
fn large_markets_are_certified_to_be_near_the_optimum() {
    let shape = Shape {
        orders: 20_000,
        pools: 40,
        ..USUAL
    };
    let clearing = cleared(&instance(shape, 7).market());
    assert!(clearing.gap_ppm() < 5_000, "{} ppm", clearing.gap_ppm());
}

#[test]
fn the_largest_quantities_limits_and_lots_do_not_overflow() {
    let entries: Vec<Entry> = (0..ENTRIES_MAX as u16)
        .map(|pool| Entry {
            pool,
            quantity: QUANTITY_MAX,
        })
        .collect();
    let sold: Vec<Entry> = entries
        .iter()
        .map(|e| Entry {
            quantity: -e.quantity,
            ..*e
        })
        .collect();
    for (limit, want) in [(LIMIT_MAX, -LIMIT_MAX), (LIMIT_MAX, LIMIT_MAX), (1, -1)] {
        let mut random = Random(5);
        let mut market = Market::new(ENTRIES_MAX).unwrap();
        for pool in 0..ENTRIES_MAX as u16 {
            for ask in [0, PRICE_MAX / 2, PRICE_MAX] {
                let supply = Supply {
                    key: random.key(),
                    pool,
                    ask,
                    quantity: SUPPLY_MAX,
                };
                market.add_supply(supply).unwrap();
            }
        }
        for _ in 0..24 {
            let buys = vec![
                Alternative {
                    limit,
                    entries: &entries
                };
                ALTERNATIVES_MAX
            ];
            market.add_order(random.key(), LOTS_MAX, &buys).unwrap();
            let sells = [Alternative {
                limit: want,
                entries: &sold,
            }];
            market.add_order(random.key(), LOTS_MAX, &sells).unwrap();
        }
        cleared(&market);
    }
}

#[test]
fn what_lies_outside_the_bounds_is_refused_and_leaves_the_market_as_it_was() {
    assert_eq!(Market::new(POOLS_MAX + 1).unwrap_err(), MarketError::Pools);
    let mut market = Market::new(2).unwrap();
    let supply = Supply {
        key: [1; 32],
        pool: 0,
        ask: 0,
        quantity: 1,
    };
    let refused = [
        (Supply { pool: 2, ..supply }, MarketError::UnknownPool),
        (Supply { ask: -1, ..supply }, MarketError::Ask),
        (
            Supply {
                ask: PRICE_MAX + 1,
                ..supply
            },
            MarketError::Ask,
        ),
        (
            Supply {
                quantity: 0,
                ..supply
            },
            MarketError::Quantity,
        ),
        (
            Supply {
                quantity: SUPPLY_MAX + 1,
                ..supply
            },
            MarketError::Quantity,
        ),
    ];
    for (supply, error) in refused {
        assert_eq!(market.add_supply(supply), Err(error));
    }
    let one = [Entry {
        pool: 0,
        quantity: 1,
    }];
    let good = Alternative {
        limit: 1,
        entries: &one,
    };
    let seventeen = vec![one[0]; ENTRIES_MAX + 1];
    let twice = [one[0], one[0]];
    let zero = [Entry {
        pool: 0,
        quantity: 0,
    }];
    let large = [Entry {
        pool: 0,
        quantity: QUANTITY_MAX + 1,
    }];
    let least = [Entry {
        pool: 0,
        quantity: i32::MIN,
    }];
    let elsewhere = [Entry {
        pool: 2,
        quantity: 1,
    }];
    let with = |entries| Alternative { limit: 1, entries };
    let refused: Vec<(u32, Vec<Alternative<'_>>, MarketError)> = vec![
        (0, vec![good], MarketError::Lots),
        (LOTS_MAX + 1, vec![good], MarketError::Lots),
        (1, vec![], MarketError::Alternatives),
        (
            1,
            vec![good; ALTERNATIVES_MAX + 1],
            MarketError::Alternatives,
        ),
        (1, vec![with(&[])], MarketError::Entries),
        (1, vec![with(&seventeen)], MarketError::Entries),
        (1, vec![with(&twice)], MarketError::PoolTwice),
        (1, vec![with(&zero)], MarketError::Quantity),
        (1, vec![with(&large)], MarketError::Quantity),
        (1, vec![with(&least)], MarketError::Quantity),
        (1, vec![with(&elsewhere)], MarketError::UnknownPool),
        (
            1,
            vec![Alternative {
                limit: LIMIT_MAX + 1,
                ..good
            }],
            MarketError::Limit,
        ),
        (
            1,
            vec![Alternative {
                limit: i64::MIN,
                ..good
            }],
            MarketError::Limit,
        ),
    ];
    for (lots, alternatives, error) in refused {
        assert_eq!(market.add_order([1; 32], lots, &alternatives), Err(error));
    }
    assert_eq!((market.orders(), market.supplies().len()), (0, 0));
    market.add_order([1; 32], 1, &[good]).unwrap();
    market.add_order([1; 32], 2, &[good]).unwrap();
    assert_eq!(clear(&market, &Alone).unwrap_err(), MarketError::KeyTwice);
}

fn bytes_of(market: &Market) -> Vec<u8> {
    let mut bytes = Vec::new();
    binary::encode(market, &mut |part| bytes.extend_from_slice(part)).unwrap();
    bytes
}

#[test]
fn every_set_of_orders_has_one_form_in_bytes_which_clears_alike() {
    for seed in 0..200 {
        let market = fuzzed(seed);
        let bytes = bytes_of(&market);
        let read = binary::decode(&bytes).unwrap();
        assert_eq!(bytes_of(&read), bytes);
        assert_eq!(encoded(&cleared(&read)), encoded(&cleared(&market)));
    }
    let first = instance(USUAL, 4);
    let mut other = first.clone();
    other.orders.reverse();
    other.supplies.reverse();
    for order in &mut other.orders {
        order.alternatives.iter_mut().for_each(|a| a.1.reverse());
    }
    other.orders.push(first.orders[7].clone());
    other.supplies.push(first.supplies[0]);
    assert_eq!(bytes_of(&other.market()), bytes_of(&first.market()));
}

#[test]
fn the_form_in_bytes_is_the_one_that_the_specification_states() {
    let mut market = Market::new(3).unwrap();
    let entries = [(2, -1), (0, 258)].map(|(pool, quantity)| Entry { pool, quantity });
    let alternative = Alternative {
        limit: -2,
        entries: &entries,
    };
    market.add_order([7; 32], 259, &[alternative]).unwrap();
    let supply = Supply {
        key: [9; 32],
        pool: 1,
        ask: 260,
        quantity: 1 << 40,
    };
    market.add_supply(supply).unwrap();
    let expected = [
        &b"outcry market 1"[..],
        &[0, 3],
        &[0, 0, 0, 1],
        &[9; 32],
        &[0, 1],
        &[0, 0, 0, 0, 0, 0, 1, 4],
        &[0, 0, 1, 0, 0, 0, 0, 0],
        &[0, 0, 0, 1],
        &[7; 32],
        &[0, 0, 1, 3],
        &[1],
        &[255, 255, 255, 255, 255, 255, 255, 254],
        &[2],
        &[0, 0, 0, 0, 1, 2],
        &[0, 2, 255, 255, 255, 255],
    ]
    .concat();
    assert_eq!(bytes_of(&market), expected);
    let decode = |bytes: &[u8]| binary::decode(bytes).map(|market| bytes_of(&market));
    assert_eq!(decode(&expected), Ok(expected.clone()));
    for end in 0..expected.len() {
        let error = if end < 15 {
            BinaryError::Header
        } else {
            BinaryError::Truncated
        };
        assert_eq!(decode(&expected[..end]), Err(error));
    }
    assert_eq!(
        decode(&[&expected[..], &[0]].concat()),
        Err(BinaryError::Rest)
    );
    market.add_order([7; 32], 1, &[alternative]).unwrap();
    assert_eq!(
        binary::encode(&market, &mut |_| {}),
        Err(MarketError::KeyTwice)
    );
}

#[test]
fn raising_a_winners_limit_hardly_ever_loses_it_the_win() {
    let (mut raised, mut lost) = (0, 0);
    for seed in 0..12 {
        let market = instance(USUAL, seed);
        let clearing = cleared(&market.market());
        for accepted in clearing.accepted.iter().step_by(6) {
            let mut higher = market.clone();
            let order = &mut higher.orders[accepted.order as usize];
            let limit = &mut order.alternatives[accepted.alternative as usize].0;
            *limit += limit.abs() / 10 + 1;
            let again = cleared(&higher.market());
            raised += 1;
            lost += u32::from(again.accepted.iter().all(|a| a.order != accepted.order));
        }
    }
    assert!(
        raised > 40 && lost * 40 <= raised,
        "{lost} of {raised} lost"
    );
}

#[test]
fn more_traders_than_supply_leave_little_on_the_table() {
    // The certificate bounds from above what is lost; the comparison with the optimum is `make bench`.
    let gaps: Vec<u64> = (0..20)
        .map(|seed| cleared(&instance(SCARCE, seed).market()).gap_ppm())
        .collect();
    let mean = gaps.iter().sum::<u64>() / gaps.len() as u64;
    assert!(mean < 150_000, "{mean} ppm: {gaps:?}");
}

#[test]
fn the_checker_finds_every_forgery() {
    let market = instance(USUAL, 3).market();
    let clearing = cleared(&market);
    let forged = |change: &dyn Fn(&mut Clearing)| {
        let mut forged = clearing.clone();
        change(&mut forged);
        check(&market, &forged)
    };
    assert!(!forged(&|c| c.accepted[0].payment += 1).balanced);
    assert!(!forged(&|c| c.used[0].receipt -= 1).balanced);
    assert!(!forged(&|c| c.prices[0] = -1).balanced);
    assert!(!forged(&|c| c.used[0].quantity -= 1).feasible);
    assert!(!forged(&|c| c.accepted.push(c.accepted[0])).feasible);
    assert!(!forged(&|c| c.accepted[0].lots += 1 << 19).feasible);
    assert!(!forged(&|c| c.accepted[0].key[0] ^= 1).feasible);
    assert!(!forged(&|c| c.prices.iter_mut().for_each(|p| *p *= 3)).individually_rational);
    assert!(!forged(&|c| c.prices.iter_mut().for_each(|p| *p = 0)).individually_rational);
    assert!(!forged(&|c| c.welfare += 1).welfare);
    assert!(!forged(&|c| c.upper_bound -= 1).bounded);
    assert!(!forged(&|c| c.upper_bound = c.welfare - 1).bounded);
    assert!(!forged(&|c| c.accepted[0].order = u32::MAX).holds());
    assert!(!forged(&|c| c.prices.clear()).holds());
}

#[test]
fn a_file_that_cannot_be_read_names_the_line() {
    let failed = |text: &str| parse(text, &key_of).unwrap_err().to_string();
    assert!(failed("").starts_with("line 1: the number of pools"));
    assert!(failed("# nothing\nS 0 1 1 1\n").starts_with("line 2: the number of pools"));
    assert!(failed("R 1\nR 1\n").starts_with("line 2: the number of pools"));
    assert!(failed("R 1\nX\n").starts_with("line 2: a line begins"));
    assert!(failed("R 1 2\n").starts_with("line 1: there are more fields"));
    assert!(failed("R 1\nS 0 1.5 1 1\n").starts_with("line 2: the ask"));
    assert!(failed("R 1\nS 1 1 1 1\n").starts_with("line 2: the market has no such pool"));
    assert!(failed("R 1\nO 1 1 1\n").starts_with("line 2: the lines after an order"));
    assert!(failed("R 1\nA 1 1 0:1\n").starts_with("line 2: the lines after an order"));
    assert!(failed("R 1\nO 1 1 1\n\nA 1 1 0-1\n").starts_with("line 4: an entry"));
    assert!(failed("R 1\nO 1 1 1\nA 1 2 0:1\n").starts_with("line 3: an entry"));
    let file = parse(&instance(USUAL, 1).text(), &key_of).unwrap();
    assert_eq!(file.market.orders(), USUAL.orders);
}
