//! Measures the clearing: time and certified gap of large markets, welfare of small ones against the
//! optimum that a MIP solver finds, digests, fuzzed markets. `make bench` calls it twice:
//!
//! ```text
//! auction --write FOLDER            the small markets as files, for bench/optimum.py
//! auction --read FOLDER --out FILE  measure, compare with FOLDER/optima.json, write JSON
//! ```
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../bench/instances.rs"]
mod instances;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use instances::{instance, Shape};
use outcry_clearing::check::check;
use outcry_clearing::{clear, Alone, Clearing, Market, Workers};

/// A quiet run is what is measured: the fastest of so many, of three for a million orders.
const RUNS: usize = 12;

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

/// Small markets: name, shape, how many seeds, and what the bar demands of mean and minimum.
fn small() -> Vec<(&'static str, Shape, u64, f64, f64)> {
    let usual = |orders, pools| Shape {
        orders,
        pools,
        traders: 15,
        sellers: 10,
        supply: 40,
    };
    let scarce = Shape {
        orders: 50,
        pools: 8,
        traders: 33,
        sellers: 0,
        supply: 12,
    };
    vec![
        ("usual-50", usual(50, 8), 40, 0.98, 0.0),
        ("usual-100", usual(100, 12), 40, 0.98, 0.0),
        ("usual-500", usual(500, 20), 10, 0.99, 0.0),
        ("scarce-50", scarce, 100, 0.97, 0.8),
    ]
}

/// Large markets: orders, most milliseconds, most gap in millionths.
const LARGE: [(usize, f64, u64); 3] = [
    (10_000, 50.0, 5_000),
    (100_000, 500.0, 500),
    (1_000_000, 5_000.0, 500),
];

fn file(folder: &Path, name: &str, seed: u64) -> PathBuf {
    folder.join(format!("{name}-{seed:03}.txt"))
}

fn write(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    for (name, shape, count, _, _) in small() {
        for seed in 0..count {
            std::fs::write(file(folder, name, seed), instance(shape, seed).text()).unwrap();
        }
    }
}

/// The fastest of some runs with its result.
fn timed<W: Workers>(market: &Market, workers: &W, runs: usize) -> (f64, Clearing) {
    let mut fastest = f64::MAX;
    let mut result = None;
    for _ in 0..runs {
        let start = Instant::now();
        let clearing = clear(market, workers).unwrap();
        fastest = fastest.min(start.elapsed().as_secs_f64() * 1e3);
        result = Some(clearing);
    }
    (fastest, result.unwrap())
}

fn encoded(clearing: &Clearing) -> Vec<u8> {
    let mut bytes = Vec::new();
    clearing.encode(&mut |part| bytes.extend_from_slice(part));
    bytes
}

fn large() -> Vec<String> {
    let mut rows = Vec::new();
    for (orders, ms_max, gap_max) in LARGE {
        let shape = Shape {
            orders,
            pools: 100,
            traders: 15,
            sellers: 10,
            supply: 40,
        };
        let market = instance(shape, 1).market();
        let runs = if orders < 1_000_000 { RUNS } else { 3 };
        let (ms_alone, alone) = timed(&market, &Alone, runs);
        let (ms_two, clearing) = timed(&market, &Two, runs);
        let ms = ms_alone.min(ms_two);
        assert!(check(&market, &clearing).holds());
        assert_eq!(encoded(&alone), encoded(&clearing), "one thread and two");
        let gap = clearing.gap_ppm();
        let met = ms <= ms_max && gap <= gap_max;
        println!("{orders} orders: {ms_alone:.1} ms on one thread, {ms_two:.1} on two, gap {gap} ppm, met: {met}");
        rows.push(format!(
            "{{\"orders\":{orders},\"pools\":100,\"ms_one_thread\":{ms_alone:.1},\"ms_two_threads\":{ms_two:.1},\"ms_max\":{ms_max},\"gap_ppm\":{gap},\
             \"gap_ppm_max\":{gap_max},\"rounds\":{},\"round_bound\":{},\"met\":{met}}}",
            clearing.rounds, clearing.round_bound
        ));
    }
    rows
}

/// The number after `"field": ` in the entry of this name.
fn field(optima: &str, name: &str, field: &str) -> f64 {
    let entry = &optima[optima.find(&format!("\"{name}\"")).expect(name)..];
    let value = &entry[entry.find(&format!("\"{field}\": ")).unwrap() + field.len() + 4..];
    value
        .split([',', '\n', '}'])
        .next()
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}

fn compared(folder: &Path) -> Vec<String> {
    let optima = std::fs::read_to_string(folder.join("optima.json")).unwrap();
    let mut rows = Vec::new();
    for (name, shape, count, mean_min, least_min) in small() {
        let (mut sum, mut least, mut slowest, mut total) = (0.0, f64::MAX, 0.0_f64, 0.0);
        let mut all = String::new();
        for seed in 0..count {
            let market = instance(shape, seed).market();
            let (ms, clearing) = timed(&market, &Alone, 1);
            assert!(check(&market, &clearing).holds());
            // Where the solver ran out of time its bound is used: the ratio is at least this.
            let best = field(&optima, &format!("{name}-{seed:03}"), "bound");
            let ratio = if best < 1.0 {
                1.0
            } else {
                clearing.welfare as f64 / best
            };
            sum += ratio;
            least = least.min(ratio);
            slowest = slowest.max(ms);
            total += ms;
            write!(all, "{}{ratio:.5}", if seed > 0 { "," } else { "" }).unwrap();
        }
        let (mean, ms) = (sum / count as f64, total / count as f64);
        let met = mean >= mean_min && least >= least_min;
        println!(
            "{name}: mean {mean:.4}, least {least:.4} of the optimum, mean {ms:.1} ms, most {slowest:.1} ms, met: {met}"
        );
        rows.push(format!(
            "{{\"name\":\"{name}\",\"orders\":{},\"pools\":{},\"traders_percent\":{},\"supply_percent\":{},\
             \"instances\":{count},\"mean\":{mean:.5},\"mean_min\":{mean_min},\"least\":{least:.5},\
             \"least_min\":{least_min},\"ms_mean\":{ms:.1},\"ms_most\":{slowest:.1},\"met\":{met},\"ratios\":[{all}]}}",
            shape.orders, shape.pools, shape.traders, shape.supply
        ));
    }
    rows
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let after = |flag: &str| {
        let at = arguments.iter().position(|a| a == flag)?;
        arguments.get(at + 1).map(PathBuf::from)
    };
    if let Some(folder) = after("--write") {
        return write(&folder);
    }
    let large = large();
    let small = after("--read")
        .map(|folder| compared(&folder))
        .unwrap_or_default();
    if let Some(out) = after("--out") {
        let text = format!(
            "{{\n\"large\":[\n{}\n],\n\"against_mip\":[\n{}\n]\n}}\n",
            large.join(",\n"),
            small.join(",\n")
        );
        std::fs::write(out, text).unwrap();
    }
}
