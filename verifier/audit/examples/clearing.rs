//! The clearing natively and in the machine, in one run.
//!
//! `cargo run --release -p outcry-audit --example clearing -- [--out FILE] [--rounds N]`
//!
//! Markets of 50, 500 and 10,000 orders. In the machine the program reads the market and writes the result;
//! natively the same: decoded, cleared on one thread, encoded. Runs alternate, the ratio is that of the
//! fastest. Pages are the fewest with which the run exits with the same result. The interpreter, which
//! disputes are about, runs the smallest market only.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../../protocol/clearing/bench/instances.rs"]
#[allow(dead_code)]
mod instances;

use std::collections::BTreeMap;
use std::time::Instant;

use instances::{Shape, instance};
use outcry_audit::agreement::Subject;
use outcry_clearing::{Alone, binary, clear};
use outcry_native::{CompiledImage, Engine, Halted, Task};
use outcry_protocol::auction::CLEARING_PROGRAM;
use outcry_protocol::status::Status;
use outcry_verifier::archive::input::Invocation;
use outcry_verifier::link;
use outcry_verifier::task::{RunLimits, TaskHeader};

const LIMITS: RunLimits = RunLimits {
    cycles: 1 << 44,
    pages: 1 << 14,
    slots: 1 << 20,
    output_bytes: 1 << 26,
};
/// Orders, pools.
const MARKETS: [(usize, usize); 3] = [(50, 8), (500, 20), (10_000, 100)];

fn natively(bytes: &[u8]) -> Vec<u8> {
    let clearing = clear(&binary::decode(bytes).unwrap(), &Alone).unwrap();
    let mut result = Vec::new();
    clearing.encode(&mut |part| result.extend_from_slice(part));
    result
}

fn in_machine(
    image: &CompiledImage,
    subject: &Subject,
    archive: &[u8],
    pages: u32,
) -> (Halted, Vec<u8>) {
    let limits = RunLimits { pages, ..LIMITS };
    let header = TaskHeader::of(&subject.job(limits), 0, archive.len() as u64);
    image
        .run(&Task::new(header, limits), archive.to_vec(), Vec::new())
        .unwrap()
}

fn measure(subject: &Subject, orders: usize, pools: usize, rounds: usize) -> serde_json::Value {
    let shape = Shape {
        orders,
        pools,
        traders: 15,
        sellers: 10,
        supply: 40,
    };
    let mut bytes = Vec::new();
    binary::encode(&instance(shape, 1).market(), &mut |part| {
        bytes.extend_from_slice(part)
    })
    .unwrap();
    let market = BTreeMap::from([("in/market".to_owned(), bytes.clone())]);
    let invocation = Invocation {
        args: vec!["clear".to_owned()],
        ..Invocation::default()
    };
    let archive = invocation.archive(&market).unwrap();
    let image = subject.compiled();
    let expected = natively(&bytes);
    let (halted, output) = in_machine(image, subject, &archive, LIMITS.pages);
    assert_eq!(
        (halted.outcome.status, halted.outcome.exit_code),
        (Status::Exited, 0)
    );
    // The archive holds it between a header and padding.
    assert!(output.windows(expected.len()).any(|part| part == expected));

    let mut best = [f64::INFINITY; 2];
    for _ in 0..rounds {
        let started = Instant::now();
        assert_eq!(natively(&bytes), expected);
        best[0] = best[0].min(started.elapsed().as_secs_f64());
        let started = Instant::now();
        assert_eq!(
            in_machine(image, subject, &archive, LIMITS.pages),
            (halted, output.clone())
        );
        best[1] = best[1].min(started.elapsed().as_secs_f64());
    }
    // Fewer pages never help.
    let (mut few, mut enough) = (0, LIMITS.pages);
    while few + 1 < enough {
        let pages = (few + enough) / 2;
        if in_machine(image, subject, &archive, pages).0 == halted {
            enough = pages;
        } else {
            few = pages;
        }
    }
    let mut row = serde_json::json!({
        "orders": orders, "pools": pools, "input_bytes": bytes.len(), "result_bytes": expected.len(),
        "cycles": halted.cycles, "pages": enough,
        "native_ms": best[0] * 1e3, "machine_ms": best[1] * 1e3, "ratio": best[1] / best[0],
    });
    if orders == MARKETS[0].0 {
        let mut machine = subject.start(&subject.job(LIMITS), 0, &archive).unwrap();
        let started = Instant::now();
        machine.run().unwrap();
        row["interpreter_ms"] = (started.elapsed().as_secs_f64() * 1e3).into();
        row["steps"] = machine.steps().into();
        assert_eq!(
            (machine.halted().copied(), machine.output()),
            (Some(halted), &output[..])
        );
    }
    row
}

fn main() {
    let mut args = std::env::args().skip(1);
    let (mut out, mut rounds) = (None, 5);
    while let Some(arg) = args.next() {
        let value = args.next().unwrap_or_else(|| panic!("{arg} needs a value"));
        match arg.as_str() {
            "--out" => out = Some(value),
            "--rounds" => rounds = value.parse().unwrap(),
            _ => panic!("unknown flag {arg}"),
        }
    }
    let subject = Subject::new(&Engine::new().unwrap(), &link(CLEARING_PROGRAM).unwrap()).unwrap();
    let rows: Vec<_> = MARKETS
        .iter()
        .map(|&(orders, pools)| {
            let row = measure(&subject, orders, pools, rounds);
            println!("{row}");
            row
        })
        .collect();
    if let Some(out) = out {
        std::fs::write(out, serde_json::to_string_pretty(&rows).unwrap()).unwrap();
    }
}
