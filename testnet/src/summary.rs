//! What the demo reports: `summary.json` for programs, a table for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use alloy::primitives::B256;
use outcry_sdk::api::{Amount, Dispute, GameParty, Job, TokenInfo};
use outcry_sdk::units;
use serde::Serialize;

use crate::conservation::Books;
use crate::gas::Gas;

/// One job of the demo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JobSummary {
    /// What it is called in the demo.
    pub name: String,
    /// State of the job at the end.
    pub status: String,
    /// Who ran it: names of the nodes, in the order of the deals.
    pub provider: Vec<String>,
    /// Tasks.
    pub tasks: u32,
    /// Cycles billed.
    pub cycles: u64,
    /// Base units paid, as a decimal string.
    pub price: Amount,
    /// Gas of the transactions about the job's deals, an equal part of shared ones.
    pub gas: u64,
    /// From the command's start to its end.
    pub wall_ms: u64,
    /// BLAKE3 over the outputs' BLAKE3 hashes in the order of the tasks; empty without output.
    pub output_hash: String,
}

/// One transaction of a game.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MoveSummary {
    /// Whose it was.
    pub by: GameParty,
    /// What it did.
    pub what: String,
    /// Seconds of the chain since the challenge.
    pub after_s: u64,
    /// Gas of the whole transaction, where the node said it.
    pub gas: Option<u64>,
}

impl MoveSummary {
    /// The transactions of a game. A move that anybody may make is that of the party that moved last.
    #[must_use]
    pub fn of(game: &Dispute) -> Vec<Self> {
        let mut moves: Vec<(B256, Self)> = Vec::new();
        let mut sections = 0;
        let began = game.moves.first().map_or(0, |made| made.at);
        for made in &game.moves {
            let what = match made.part {
                Some(part) => {
                    sections += 1;
                    format!("section {sections} of {}, part {part}", game.sections)
                }
                None => made.transaction.kind.clone(),
            };
            let (hash, last) = (made.transaction.hash, moves.last_mut());
            let by = made.by.or(last.as_ref().map(|(_, last)| last.by));
            match last {
                Some((same, last)) if *same == hash => {
                    last.what.push_str(", ");
                    last.what.push_str(&what);
                }
                _ => moves.push((
                    hash,
                    Self {
                        by: by.unwrap_or(GameParty::Challenger),
                        what,
                        after_s: made.at.saturating_sub(began),
                        gas: made.transaction.gas_used,
                    },
                )),
            }
        }
        moves.into_iter().map(|(_, made)| made).collect()
    }
}

/// The instruction on which the parties of a game parted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Instruction {
    /// Steps before it.
    pub step: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// The function that it belongs to.
    pub function: String,
    /// The instruction with the values that it reads.
    pub instruction: String,
}

/// The game of the demo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DisputeSummary {
    /// Its id.
    pub game: B256,
    /// Node whose claim fell.
    pub provider: String,
    /// Node that won.
    pub challenger: String,
    /// Sections between the whole run and one step.
    pub sections: u8,
    /// Every transaction.
    pub moves: Vec<MoveSummary>,
    /// Base units that the buyer got back.
    pub refunded: Amount,
    /// Base units that the provider lost.
    pub collateral: Amount,
    /// Base units of them for the challenger.
    pub reward: Amount,
    /// Base units of them that burned.
    pub burned: Amount,
    /// What the challenger had bonded, and got back.
    pub bond_wei: Amount,
    /// What the challenger got out of the provider's collateral floor, for its gas before anything
    /// else.
    pub coins_wei: Amount,
    /// Where the parties parted.
    pub instruction: Instruction,
}

impl DisputeSummary {
    /// Gas of a party's transactions.
    #[must_use]
    pub fn gas_of(&self, party: GameParty) -> u64 {
        let own = self.moves.iter().filter(|made| made.by == party);
        own.filter_map(|made| made.gas).sum()
    }

    /// How it ended, a line each.
    #[must_use]
    pub fn outcome(&self, token: &TokenInfo) -> Vec<String> {
        let seconds = self.moves.last().map_or(0, |made| made.after_s);
        let at = &self.instruction;
        vec![
            format!(
                "{} proves in {} transactions and {seconds} s that {}'s claim is false",
                self.challenger,
                self.moves.len(),
                self.provider
            ),
            format!(
                "they parted on step {} of {}, in {}: {}",
                grouped(at.step),
                grouped(at.steps),
                at.function,
                at.instruction
            ),
            format!(
                "{} refunded to the buyer; collateral of {} taken: {} to {}, {} burned",
                units::show(self.refunded, token),
                units::show(self.collateral, token),
                units::show(self.reward, token),
                self.challenger,
                units::show(self.burned, token)
            ),
            format!(
                "{} used {} gas, {} {}; the bond of {} came back, with {} for the gas",
                self.challenger,
                grouped(self.gas_of(GameParty::Challenger)),
                self.provider,
                grouped(self.gas_of(GameParty::Provider)),
                units::show(self.bond_wei, &TokenInfo::coin()),
                units::show(self.coins_wei, &TokenInfo::coin())
            ),
        ]
    }

    fn table(&self) -> String {
        let mut rows = vec![["move", "by", "gas", "after"].map(str::to_owned)];
        for made in &self.moves {
            rows.push([
                made.what.clone(),
                made.by.name().to_owned(),
                made.gas.map_or("?".to_owned(), grouped),
                format!("{} s", made.after_s),
            ]);
        }
        aligned(&rows, 2)
    }
}

/// The whole run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Whether everything came out right; the exit code says the same.
    pub ok: bool,
    /// What did not.
    pub failures: Vec<String>,
    /// The jobs in the order in which they ran.
    pub jobs: Vec<JobSummary>,
    /// The game about the lie; absent if that scene went wrong.
    pub dispute: Option<DisputeSummary>,
    /// Gas by kind of transaction.
    pub gas: BTreeMap<String, Gas>,
    /// Every token's sum over all accounts is what it was at the start, and the market holds what
    /// its ledger says.
    pub conserved: bool,
    /// The books at the start.
    pub books_before: Books,
    /// The books at the end.
    pub books_after: Books,
    /// The whole demo.
    pub wall_ms: u64,
}

impl JobSummary {
    /// Reads off a job what it cost; `names` finds a provider's node by its account.
    #[must_use]
    pub fn of(
        name: &str,
        job: &Job,
        names: impl Fn(&Job, usize) -> String,
        wall_ms: u64,
        output_hash: String,
    ) -> Self {
        let mut provider: Vec<String> = Vec::new();
        for index in 0..job.deals.len() {
            let name = names(job, index);
            if !provider.contains(&name) {
                provider.push(name);
            }
        }
        let cycles = job
            .deals
            .iter()
            .filter_map(|deal| deal.claim.as_ref()?.cycles.to_u64())
            .sum();
        Self {
            name: name.to_owned(),
            status: job.state.to_string(),
            provider,
            tasks: job.tasks,
            cycles,
            price: job.price,
            gas: 0,
            wall_ms,
            output_hash,
        }
    }
}

impl Summary {
    /// Writes `summary.json`.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        std::fs::write(path, serde_json::to_vec_pretty(self)?)?;
        Ok(())
    }

    /// The table that ends the demo.
    #[must_use]
    pub fn table(&self, token: &TokenInfo) -> String {
        let mut rows = vec![
            [
                "job", "status", "provider", "tasks", "cycles", "price", "gas", "time",
            ]
            .map(str::to_owned),
        ];
        for job in &self.jobs {
            rows.push([
                job.name.clone(),
                job.status.clone(),
                if job.provider.is_empty() {
                    "-".to_owned()
                } else {
                    job.provider.join(" ")
                },
                job.tasks.to_string(),
                grouped(job.cycles),
                units::show(job.price, token),
                grouped(job.gas),
                format!("{:.1} s", job.wall_ms as f64 / 1000.0),
            ]);
        }
        let mut text = aligned(&rows, 3);
        let mut rows =
            vec![["transaction", "count", "median gas", "most gas", "reverted"].map(str::to_owned)];
        for (kind, gas) in &self.gas {
            rows.push([
                kind.clone(),
                gas.count.to_string(),
                grouped(gas.median),
                grouped(gas.max),
                gas.reverted.to_string(),
            ]);
        }
        text.push('\n');
        text.push_str(&aligned(&rows, 1));
        if let Some(dispute) = &self.dispute {
            text.push('\n');
            text.push_str(&dispute.table());
            text.push('\n');
            for line in dispute.outcome(token) {
                let _ = writeln!(text, "  {line}");
            }
        }
        text
    }
}

/// Columns aligned; those from `numbers` on to the right.
fn aligned<const N: usize>(rows: &[[String; N]], numbers: usize) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::from("  ");
        for (index, (cell, width)) in row.iter().zip(widths).enumerate() {
            // Writing to a string can't fail.
            let _ = if index >= numbers {
                write!(line, "{cell:>width$}  ")
            } else {
                write!(line, "{cell:<width$}  ")
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_from_the_right() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1 234 567");
    }

    #[test]
    fn numbers_are_aligned_to_the_right() {
        let rows = [
            ["a".to_owned(), "1".to_owned()],
            ["bb".to_owned(), "10".to_owned()],
        ];
        assert_eq!(aligned(&rows, 1), "  a    1\n  bb  10\n");
    }
}
