//! An auction of reserved capacity, cleared from a file.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::time::Instant;

use alloy::primitives::{B256, Keccak256};
use outcry_clearing::check::{Verdict, check};
use outcry_clearing::file::{self, File, Kind};
use outcry_clearing::{Clearing, Market, MarketError, Workers, binary, clear as clear_market};
use outcry_protocol::auction::CLEARING_PROGRAM;
use outcry_protocol::codes;
use outcry_protocol::limits::OUTPUT_LIMIT_MAX;
use outcry_protocol::status::Status;
use outcry_sdk::{JobBuilder, Limits, TaskOutput};
use serde::Serialize;

use crate::args::Clear;
use crate::console::{Console, Show, columns, pairs};
use crate::failure::Failure;
use crate::settings::Settings;

/// Most bytes of a market's file: 2^20 orders of three alternatives with three entries are about 150 MiB.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// What separates keys from other hashes.
const KEY_DOMAIN: &[u8] = b"outcry auction key 1";
/// Most accepted orders of a table; JSON has all.
const ROWS_MAX: usize = 40;

pub(crate) fn clear(
    args: &Clear,
    settings: &Settings,
    console: &mut Console<'_>,
) -> Result<u8, Failure> {
    let beacon = match &args.beacon {
        None => B256::ZERO,
        Some(text) => text
            .parse()
            .map_err(|e| Failure::usage(format!("--beacon {text}: {e}")))?,
    };
    let text = read(&args.file)?;
    let shown = args.file.display();
    let invalid = |message: String| {
        Failure::new(&codes::CONFIG_VALUE, format!("{shown}: {message}"))
            .with_help("`protocol/SPEC.md`, section Clearing, describes the file.")
    };
    let file = file::parse(&text, &|kind, id| key_of(beacon, kind, id))
        .map_err(|e| invalid(e.to_string()))?;
    let start = Instant::now();
    let clearing = clear_market(&file.market, &Threads).map_err(|e| invalid(e.to_string()))?;
    let ms = start.elapsed().as_secs_f64() * 1e3;
    let verdict = check(&file.market, &clearing);
    let in_machine = if args.in_machine {
        let bytes = bytes_of(&file.market).map_err(|e| invalid(e.to_string()))?;
        let output = in_machine(bytes, settings)?;
        let mut result = Vec::new();
        clearing.encode(&mut |part| result.extend_from_slice(part));
        Some(InMachine {
            cycles: output.cycles,
            same: output.is_success() && output.files().get("result") == Some(&result),
            status: output.outcome.status,
            exit_code: output.outcome.exit_code,
        })
    } else {
        None
    };
    let differs = in_machine.as_ref().is_some_and(|run| !run.same);
    console.result(
        settings.format(),
        &Cleared::of(&file, clearing, verdict, ms, in_machine),
    )?;
    if !verdict.holds() {
        return Err(Failure::internal("the result is not what it claims to be"));
    }
    if differs {
        return Err(Failure::internal("the machine does not say the same"));
    }
    Ok(0)
}

fn bytes_of(market: &Market) -> Result<Vec<u8>, MarketError> {
    let mut bytes = Vec::new();
    binary::encode(market, &mut |part| bytes.extend_from_slice(part))?;
    Ok(bytes)
}

/// Runs the clearing as any job is run: metered, in the native engine.
fn in_machine(market: Vec<u8>, settings: &Settings) -> Result<TaskOutput, Failure> {
    let job = JobBuilder::wasm("clear.wasm", CLEARING_PROGRAM)
        .input_files(BTreeMap::from([("market".to_owned(), market)]))
        .limits(Limits {
            memory_mib: 4096,
            output_bytes: OUTPUT_LIMIT_MAX,
            ..Limits::default()
        })
        .build(B256::ZERO)?;
    Ok(settings.engine()?.run(&job, 0)?)
}

fn read(path: &Path) -> Result<String, Failure> {
    let failed =
        |e: std::io::Error| Failure::new(&codes::CONFIG_FILE, format!("{}: {e}", path.display()));
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin()
            .lock()
            .take(FILE_BYTES_MAX + 1)
            .read_to_string(&mut text)
    } else {
        std::fs::File::open(path)
            .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text))
    };
    if read.map_err(failed)? as u64 > FILE_BYTES_MAX {
        return Err(Failure::usage(format!(
            "{} has more than {FILE_BYTES_MAX} bytes",
            path.display()
        )));
    }
    Ok(text)
}

/// `keccak(domain ‖ beacon ‖ kind ‖ id)`: nobody knows its order's place before the beacon.
fn key_of(beacon: B256, kind: Kind, id: u64) -> [u8; 32] {
    let mut hash = Keccak256::new();
    hash.update(KEY_DOMAIN);
    hash.update(beacon);
    hash.update([u8::from(kind == Kind::Supply)]);
    hash.update(id.to_be_bytes());
    hash.finalize().0
}

/// The machine's threads.
struct Threads;

impl Workers for Threads {
    fn width(&self) -> usize {
        std::thread::available_parallelism().map_or(1, Into::into)
    }

    fn each<T: Send>(&self, parts: &mut [T], work: &(dyn Fn(&mut T) + Sync)) {
        std::thread::scope(|scope| {
            for part in parts {
                scope.spawn(move || work(part));
            }
        });
    }
}

#[derive(Serialize)]
struct Cleared {
    welfare: i128,
    upper_bound: i128,
    /// Share of the bound.
    gap: f64,
    rounds: u32,
    round_bound: u32,
    moves: u64,
    move_bound: u64,
    prices: Vec<i64>,
    accepted: Vec<Accepted>,
    supply: Vec<Sold>,
    rejected_in_the_money: Vec<PassedOver>,
    digest: B256,
    balanced: bool,
    feasible: bool,
    individually_rational: bool,
    welfare_checked: bool,
    bound_checked: bool,
    ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_machine: Option<InMachine>,
}

/// The same market cleared by the program.
#[derive(Serialize)]
struct InMachine {
    /// Whether it wrote the same result, byte for byte.
    same: bool,
    status: Status,
    exit_code: u32,
    cycles: u64,
}

#[derive(Serialize)]
struct Accepted {
    id: u64,
    /// From 0, as the file lists them.
    alternative: u16,
    lots: u32,
    payment: i128,
}

#[derive(Serialize)]
struct Sold {
    id: u64,
    quantity: i64,
    receipt: i128,
}

#[derive(Serialize)]
struct PassedOver {
    id: u64,
    lots: u32,
    surplus: i64,
}

impl Cleared {
    fn of(
        file: &File,
        clearing: Clearing,
        verdict: Verdict,
        ms: f64,
        in_machine: Option<InMachine>,
    ) -> Self {
        let mut hash = Keccak256::new();
        clearing.encode(&mut |bytes| hash.update(bytes));
        let order = |index: u32| file.orders.get(index as usize).copied().unwrap_or_default();
        let accepted = clearing.accepted.iter().map(|a| Accepted {
            id: order(a.order),
            alternative: a.alternative,
            lots: a.lots,
            payment: a.payment,
        });
        let supply = clearing.used.iter().map(|u| Sold {
            id: file
                .supplies
                .get(u.supply as usize)
                .copied()
                .unwrap_or_default(),
            quantity: u.quantity,
            receipt: u.receipt,
        });
        let passed_over = clearing.passed_over.iter().map(|p| PassedOver {
            id: order(p.order),
            lots: p.lots,
            surplus: p.surplus,
        });
        Self {
            welfare: clearing.welfare,
            upper_bound: clearing.upper_bound,
            gap: clearing.gap_ppm() as f64 / 1e6,
            rounds: clearing.rounds,
            round_bound: clearing.round_bound,
            moves: clearing.moves,
            move_bound: clearing.move_bound,
            accepted: accepted.collect(),
            supply: supply.collect(),
            rejected_in_the_money: passed_over.collect(),
            digest: hash.finalize(),
            balanced: verdict.balanced,
            feasible: verdict.feasible,
            individually_rational: verdict.individually_rational,
            welfare_checked: verdict.welfare,
            bound_checked: verdict.bounded,
            prices: clearing.prices,
            ms,
            in_machine,
        }
    }
}

impl Show for Cleared {
    fn table(&self) -> String {
        let prices: Vec<_> = self
            .prices
            .iter()
            .enumerate()
            .map(|(pool, price)| [pool.to_string(), price.to_string()])
            .collect();
        let accepted: Vec<_> = self
            .accepted
            .iter()
            .take(ROWS_MAX)
            .map(|a| {
                [
                    a.id.to_string(),
                    a.alternative.to_string(),
                    a.lots.to_string(),
                    a.payment.to_string(),
                ]
            })
            .collect();
        let more = match self.accepted.len().saturating_sub(ROWS_MAX) {
            0 => String::new(),
            more => format!("and {more} more; --output json lists them\n"),
        };
        let valid = |holds: bool| if holds { "yes" } else { "NO" }.to_owned();
        let mut summary = vec![
            ("welfare", self.welfare.to_string()),
            (
                "upper bound",
                format!("{} (gap {:.4}%)", self.upper_bound, self.gap * 100.0),
            ),
            (
                "rounds",
                format!("{} of at most {}", self.rounds, self.round_bound),
            ),
            (
                "rejected in the money",
                self.rejected_in_the_money.len().to_string(),
            ),
            ("payments add up to zero", valid(self.balanced)),
            ("within supply", valid(self.feasible)),
            ("nobody is worse off", valid(self.individually_rational)),
            ("digest", self.digest.to_string()),
            ("time", format!("{:.1} ms", self.ms)),
        ];
        if let Some(run) = &self.in_machine {
            let how = match (run.same, run.status, run.exit_code) {
                (true, ..) => "the same".to_owned(),
                (false, Status::Exited, 0) => "ANOTHER RESULT".to_owned(),
                (false, status, code) => format!("NO RESULT: {status}, code {code}"),
            };
            summary.push(("in the machine", format!("{how}, {} cycles", run.cycles)));
        }
        let summary = pairs(&summary);
        format!(
            "{}\n{}{more}\n{summary}",
            columns(["POOL", "PRICE"], &prices),
            columns(["ORDER", "ALTERNATIVE", "LOTS", "PAYS"], &accepted),
        )
    }
}
