//! The clearing as a program of the machine: it says what the clearing says, and a dispute about it ends in a
//! step that the chain executes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../../protocol/clearing/bench/instances.rs"]
#[allow(dead_code)]
mod instances;

use std::collections::BTreeMap;

use instances::{Random, Shape, instance};
use outcry_audit::agreement::Subject;
use outcry_audit::{CheckOptions, check};
use outcry_clearing::binary::{self, BinaryError};
use outcry_clearing::file::{Kind, parse};
use outcry_clearing::limits::{LOTS_MAX, POOLS_MAX, PRICE_MAX, SUPPLY_MAX};
use outcry_clearing::{Alone, Alternative, Entry, Market, MarketError, Supply, clear};
use outcry_native::{CompiledImage, Engine, Halted, Task};
use outcry_protocol::auction::CLEARING_PROGRAM;
use outcry_protocol::status::{Outcome, Status};
use outcry_verifier::archive::Reader;
use outcry_verifier::archive::input::Invocation;
use outcry_verifier::task::{RunLimits, TaskHeader};
use outcry_verifier::{Image, link};

const LIMITS: RunLimits = RunLimits {
    cycles: 1 << 40,
    pages: 1 << 12,
    slots: 1 << 16,
    output_bytes: 1 << 24,
};

fn image() -> Image {
    link(CLEARING_PROGRAM).unwrap()
}

fn compiled() -> CompiledImage {
    Engine::new().unwrap().compile(&image()).unwrap()
}

fn encoded(market: &Market) -> Vec<u8> {
    let mut bytes = Vec::new();
    binary::encode(market, &mut |part| bytes.extend_from_slice(part)).unwrap();
    bytes
}

fn archive(input: &[u8]) -> Vec<u8> {
    let market = BTreeMap::from([("in/market".to_owned(), input.to_vec())]);
    invocation().archive(&market).unwrap()
}

fn invocation() -> Invocation {
    Invocation {
        args: vec!["clear".to_owned()],
        ..Invocation::default()
    }
}

/// Exit code and result of a run that must not end otherwise, and writes nothing else.
fn exited(halted: &Halted, output: &[u8]) -> (u32, Vec<u8>) {
    assert_eq!(halted.outcome.status, Status::Exited);
    let mut reader = Reader::new(output);
    let mut result = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        let content = reader.read_content().unwrap();
        match entry.path.as_str() {
            "out/result" => result = content,
            path => assert!(content.is_empty(), "{path}"),
        }
    }
    (halted.outcome.exit_code, result)
}

fn run_within(image: &CompiledImage, input: &[u8], limits: RunLimits) -> (u32, Vec<u8>) {
    run_on(image, archive(input), limits)
}

fn run_on(image: &CompiledImage, archive: Vec<u8>, limits: RunLimits) -> (u32, Vec<u8>) {
    let job = outcry_audit::agreement::job_of(image.image().root(), limits);
    let header = TaskHeader::of(&job, 0, archive.len() as u64);
    let (halted, output) = image
        .run(&Task::new(header, limits), archive, Vec::new())
        .unwrap();
    exited(&halted, &output)
}

fn run(image: &CompiledImage, input: &[u8]) -> (u32, Vec<u8>) {
    run_within(image, input, LIMITS)
}

/// What the program's exit code and output must be, without the program.
fn expected(input: &[u8]) -> (u32, Vec<u8>) {
    let cleared = binary::decode(input)
        .and_then(|market| clear(&market, &Alone).map_err(BinaryError::Market));
    let code = match cleared {
        Ok(clearing) => {
            let mut result = Vec::new();
            clearing.encode(&mut |part| result.extend_from_slice(part));
            return (0, result);
        }
        Err(BinaryError::Header) => 2,
        Err(BinaryError::Truncated) => 3,
        Err(BinaryError::Rest) => 4,
        Err(BinaryError::Order) => 5,
        Err(BinaryError::Market(MarketError::KeyTwice)) => 7,
        Err(BinaryError::Market(_)) => 6,
        Err(other) => panic!("{other} has no exit code"),
    };
    (code, Vec::new())
}

/// The five markets on which a rising clock never ends.
fn files() -> [Market; 5] {
    [
        include_str!("../../../protocol/clearing/tests/data/cx1_two_traders.txt"),
        include_str!("../../../protocol/clearing/tests/data/cx2_divisible_T1.txt"),
        include_str!("../../../protocol/clearing/tests/data/cx3_with_real_market.txt"),
        include_str!("../../../protocol/clearing/tests/data/cx4_buy_more_than_sell.txt"),
        include_str!("../../../protocol/clearing/tests/data/cx5_compute.txt"),
    ]
    .map(|text| {
        let key = |kind, id| Random(id << 1 | u64::from(kind == Kind::Order)).key();
        parse(text, &key).unwrap().market
    })
}

fn market(orders: usize, pools: usize, traders: u64, supply: i64, seed: u64) -> Market {
    let shape = Shape {
        orders,
        pools,
        traders,
        sellers: 10,
        supply,
    };
    instance(shape, seed).market()
}

#[test]
fn every_market_clears_in_the_machine_as_it_does_outside() {
    let image = compiled();
    let mut markets: Vec<Market> = files().into();
    // Scarce markets of traders and usual ones; then markets too large for the full search, for any
    // search, and for one descent.
    for seed in 0..10 {
        markets.push(market(20 + 4 * seed as usize, 8, 33, 12, seed));
        markets.push(market(30 + 4 * seed as usize, 12, 15, 40, seed));
    }
    for orders in [400, 2_100, 5_000] {
        markets.push(market(orders, 16, 15, 40, 3));
    }
    markets.push(Market::new(0).unwrap());
    let mut traded = 0;
    for market in &markets {
        let mut outside = Vec::new();
        let clearing = clear(market, &Alone).unwrap();
        clearing.encode(&mut |part| outside.extend_from_slice(part));
        traded += usize::from(!clearing.accepted.is_empty());
        let (code, inside) = run(&image, &encoded(market));
        assert_eq!(code, 0);
        assert!(inside == outside, "{} orders", market.orders());
    }
    assert!(traded > 20, "{traded} of {} traded", markets.len());
}

#[test]
fn steps_of_a_clearing_are_proven_on_the_contract() {
    let [two_traders, .., compute] = files();
    for (market, samples) in [
        (two_traders, 60),
        (compute, 60),
        (market(12, 4, 33, 30, 1), 60),
    ] {
        let options = CheckOptions { samples, seed: 11 };
        let input = archive(&encoded(&market));
        // The state and the output of native engine, machine and contract are compared.
        let report = check(&image(), &input, LIMITS, options, &mut |_| {}).unwrap();
        println!("{}", serde_json::to_string(&report).unwrap());
        assert_eq!(
            (report.sampled, report.mismatches),
            (samples + 2, 0),
            "{:?}",
            report.differences
        );
        assert!(report.gas.max < 145_000 && report.proof_bytes.max < 4096);
    }
}

#[test]
fn the_interpreter_says_the_same() {
    let subject = Subject::new(&Engine::new().unwrap(), &image()).unwrap();
    for market in files() {
        let bytes = encoded(&market);
        let input = archive(&bytes);
        let mut machine = subject.start(&subject.job(LIMITS), 0, &input).unwrap();
        machine.run().unwrap();
        let halted = *machine.halted().unwrap();
        assert_eq!(exited(&halted, machine.output()), expected(&bytes));
    }
}

/// A market of two pools with two steps of supply and two orders.
fn small() -> Vec<u8> {
    let mut market = Market::new(2).unwrap();
    for (key, pool) in [(1, 0), (2, 1)] {
        let supply = Supply {
            key: [key; 32],
            pool,
            ask: 100,
            quantity: 5,
        };
        market.add_supply(supply).unwrap();
    }
    for key in [3, 4] {
        let entries = [0, 1].map(|pool| Entry { pool, quantity: 2 });
        let alternative = Alternative {
            limit: 1_000,
            entries: &entries,
        };
        market.add_order([key; 32], 2, &[alternative]).unwrap();
    }
    encoded(&market)
}

/// Where the fields of [`small`] lie.
mod at {
    pub(super) const POOLS: usize = 15;
    pub(super) const SUPPLY: usize = POOLS + 2 + 4;
    pub(super) const SUPPLY_BYTES: usize = 32 + 2 + 8 + 8;
    pub(super) const ORDER: usize = SUPPLY + 2 * SUPPLY_BYTES + 4;
    pub(super) const ORDER_BYTES: usize = 32 + 4 + 1 + 8 + 1 + 2 * (2 + 4);
    pub(super) const END: usize = ORDER + 2 * ORDER_BYTES;
}

#[test]
fn what_is_not_a_market_ends_with_the_code_that_says_why() {
    let image = compiled();
    let good = small();
    assert_eq!(good.len(), at::END);
    assert_eq!(run(&image, &good).0, 0);
    let with = |place: usize, bytes: &[u8]| {
        let mut input = good.clone();
        input[place..place + bytes.len()].copy_from_slice(bytes);
        input
    };
    let swapped = |place: usize, bytes: usize| {
        let mut input = good.clone();
        input[place..place + 2 * bytes].rotate_left(bytes);
        input
    };
    let lots = at::ORDER + 32;
    let limit = lots + 5;
    let entry = limit + 9;
    let ask = at::SUPPLY + 34;
    let mut cases = vec![
        (2, Vec::new()),
        (2, good[..14].to_vec()),
        (2, with(14, b"2")),
        (4, [&good[..], &[0]].concat()),
        // Order.
        (5, swapped(at::SUPPLY, at::SUPPLY_BYTES)),
        (5, swapped(at::ORDER, at::ORDER_BYTES)),
        (5, swapped(entry, 6)),
        (5, with(at::ORDER + at::ORDER_BYTES, &[3; 32])),
        (5, with(entry + 6, &[0, 0])),
        // Limits.
        (6, with(at::POOLS, &(POOLS_MAX as u16 + 1).to_be_bytes())),
        (6, with(at::POOLS, &[0, 1])),
        (6, with(ask, &(-1_i64).to_be_bytes())),
        (6, with(ask, &(PRICE_MAX + 1).to_be_bytes())),
        (6, with(ask + 8, &[0; 8])),
        (6, with(ask + 8, &(SUPPLY_MAX + 1).to_be_bytes())),
        (6, with(lots, &[0; 4])),
        (6, with(lots, &(LOTS_MAX + 1).to_be_bytes())),
        (6, with(limit, &i64::MAX.to_be_bytes())),
        (6, with(limit, &i64::MIN.to_be_bytes())),
        (6, with(entry + 2, &[0; 4])),
        (6, with(entry + 2, &i32::MIN.to_be_bytes())),
        (6, with(entry + 6, &[0, 2])),
        // Lists that are said to be longer than the input.
        (
            3,
            with(at::SUPPLY - 4, &[0xff; 4])[..at::ORDER - 4].to_vec(),
        ),
        (3, with(at::ORDER - 4, &[0xff; 4])),
        // Two supplies of one key.
        (7, with(at::SUPPLY + at::SUPPLY_BYTES, &[1; 32])),
    ];
    cases.extend(
        (15..good.len())
            .step_by(5)
            .map(|end| (3, good[..end].to_vec())),
    );
    for (case, (code, input)) in cases.iter().enumerate() {
        assert_eq!(expected(input).0, *code, "case {case}");
        assert_eq!(run(&image, input), (*code, Vec::new()), "case {case}");
    }
    // An alternative too many, and an entry too many.
    let mut many = Market::new(17).unwrap();
    let entries: Vec<Entry> = (0..16).map(|pool| Entry { pool, quantity: 1 }).collect();
    let alternative = Alternative {
        limit: 5,
        entries: &entries,
    };
    many.add_order([7; 32], 1, &[alternative; 16]).unwrap();
    let many = encoded(&many);
    let order = 15 + 2 + 4 + 4;
    assert_eq!(run(&image, &many).0, 0);
    let mut alternatives = many.clone();
    alternatives[order + 36] = 17;
    alternatives.extend_from_slice(&many[order + 37..order + 37 + 9 + 16 * 6]);
    assert_eq!(run(&image, &alternatives).0, 6);
    let mut entries = many[..order + 37 + 9 + 16 * 6].to_vec();
    entries[order + 36] = 1;
    entries[order + 37 + 8] = 17;
    entries.extend_from_slice(&[0, 16, 0, 0, 0, 1]);
    assert_eq!(run(&image, &entries).0, 6);
}

#[test]
fn changed_bytes_end_as_they_do_outside_and_never_trap() {
    let image = compiled();
    let good = encoded(&market(6, 4, 33, 30, 2));
    let mut random = Random(5);
    let mut codes = [0; 10];
    for _ in 0..300 {
        let mut input = good.clone();
        for _ in 0..random.range(1, 3) {
            let place = random.range(15, input.len() as i64 - 1) as usize;
            input[place] ^= 1 << random.range(0, 7);
        }
        let ended = run(&image, &input);
        assert!(ended == expected(&input));
        codes[ended.0 as usize] += 1;
    }
    assert!(codes[0] > 20 && codes[5] > 5 && codes[6] > 20, "{codes:?}");
}

#[test]
fn a_market_that_does_not_fit_the_memory_ends_with_its_code() {
    let image = compiled();
    let bytes = encoded(&market(5_000, 16, 15, 40, 1));
    let mut ended = BTreeMap::new();
    for pages in (16..=80).step_by(8) {
        let limits = RunLimits { pages, ..LIMITS };
        let (code, result) = run_within(&image, &bytes, limits);
        assert_eq!(result.is_empty(), code == 8);
        *ended.entry(code).or_insert(0) += 1;
    }
    assert_eq!(ended.keys().copied().collect::<Vec<_>>(), [0, 8]);
}

#[test]
fn without_a_market_it_ends_with_its_code() {
    let image = compiled();
    let nothing = invocation().archive(&BTreeMap::new()).unwrap();
    assert_eq!(run_on(&image, nothing, LIMITS), (9, Vec::new()));
}

#[test]
fn an_outcome_without_a_result_is_still_an_outcome() {
    // What a provider claims for a refused market is as definite as for a cleared one.
    let subject = Subject::new(&Engine::new().unwrap(), &image()).unwrap();
    let input = archive(b"no market");
    let options = CheckOptions {
        samples: 20,
        seed: 3,
    };
    let report = check(&image(), &input, LIMITS, options, &mut |_| {}).unwrap();
    assert_eq!(report.mismatches, 0, "{:?}", report.differences);
    let mut machine = subject.start(&subject.job(LIMITS), 0, &input).unwrap();
    machine.run().unwrap();
    let Outcome { exit_code, .. } = machine.halted().unwrap().outcome;
    assert_eq!(exit_code, 2);
}
