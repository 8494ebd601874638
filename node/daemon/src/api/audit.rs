//! What a verifier does in audits.

use alloy::primitives::Address;
use outcry_sdk::api::{AuditSeat, AuditView, AuditorStatus, Reward};

use crate::node::Node;
use crate::state::State;
use crate::state::audit::{AuditRecord, Outcome};

/// The part of an account in audits.
pub(super) fn status(node: &Node, state: &State, account: Address) -> AuditorStatus {
    let audits = &state.audits;
    let clocks = &audits.rules.clocks;
    let tally = &audits.tally;
    let seat = audits.seats.get(&account).map(|seat| AuditSeat {
        capacity: seat.capacity,
        open: u32::try_from(audits.open_of(account)).unwrap_or(u32::MAX),
        since: clocks.period_begins(u64::from(seat.from).saturating_sub(1)),
        until: seat
            .is_retired()
            .then(|| clocks.period_begins(u64::from(seat.until).saturating_sub(1))),
    });
    let mut open: Vec<AuditView> = audits
        .open()
        .filter(|audit| audit.auditor(account).is_some())
        .map(|audit| view(state, audit, account))
        .collect();
    open.sort_by_key(|audit| (audit.until, audit.claim_hash));
    AuditorStatus {
        seat,
        right: tally.count(Outcome::Right),
        excused: tally.count(Outcome::Excused),
        silent: tally.count(Outcome::Silent),
        withheld: tally.count(Outcome::Withheld),
        wrong: tally.count(Outcome::Wrong),
        earned: tally
            .paid
            .iter()
            .map(|(token, amount)| Reward {
                token: node.network.token_at(*token),
                amount: (*amount).into(),
            })
            .collect(),
        slashed: tally.slashed.into(),
        open,
    }
}

fn view(state: &State, audit: &AuditRecord, account: Address) -> AuditView {
    let (phase, until) = audit.phase(state.head.at, &state.audits.rules.clocks);
    AuditView {
        claim_hash: audit.claim_hash,
        deal_id: audit.deal,
        task: audit.task,
        provider: audit.provider,
        fee: audit.fee.into(),
        phase,
        until,
        examined: state.audit_finding(audit, account).is_some(),
        committed: audit.has_committed(account),
        revealed: audit.report(account).is_some(),
        game: audit.objection(account).map(|key| key.id()),
    }
}
