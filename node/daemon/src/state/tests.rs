//! The reducer as a whole: facts in, wishes out, no IO.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use alloy::primitives::{Address, B256, Bytes, U256};
use outcry_protocol::book::{Book, Fact as BookFact, FactKey};
use outcry_protocol::hash::Domain;
use outcry_protocol::status::{Outcome, Status};
use outcry_protocol::types::Resources;
use outcry_protocol::wire::{Message, SignedBid, SignedOffer};
use outcry_sdk::api::{DealState, JobEventKind, JobState};
use outcry_store::{MemoryStore, Store};

use super::capacity::Capacity;
use super::chain::{Block, Event, Observed};
use super::deal::{Change, Failure, Place};
use super::dispute::{DisputeRecord, GameKey, Turn};
use super::example::{BUYER, PROVIDER, START, TOKEN, bid, job, offer};
use super::gateway::Report;
use super::provider::TaskResult;
use super::verifier::Finding;
mod audits;
mod draws;
mod prices;
mod replacements;
mod rounds;

use super::{Activity, Changes, Fact, Prunable, Setup, State, Windows};

const WINDOWS: Windows = Windows {
    admission_s: 20,
    challenge_s: 60,
};

fn domain() -> Domain {
    Domain::new(31_337, Address::repeat_byte(0xaa))
}

fn capacity(slots: u32) -> Capacity {
    let like = offer(slots, 0);
    Capacity {
        provider: PROVIDER,
        peer_key: like.peerKey,
        capacity_id: like.capacityId,
        token: TOKEN,
        slots,
        region: 0,
        attributes: U256::ZERO,
        resources: Resources {
            memoryMib: 1024,
            diskMib: 1024,
            gpuClass: 0,
            gpuCount: 0,
            egressMib: 64,
        },
        start_fee: like.startFee,
        cycle_price: like.cyclePrice,
        memory_price: 0,
        disk_price: 0,
        egress_price: 0,
        speed: like.speed,
        cycle_limit_max: job(1).cycleLimit,
        collateral_max: like.collateralMax,
        value_at_risk_max: u128::MAX,
        machine_version: 1,
        tip: like.tip,
        offer_s: 600,
    }
}

/// A node and the store that its writes go to.
struct Bench {
    state: State,
    store: MemoryStore,
    block: u64,
}

impl Bench {
    fn new(setup: Setup) -> Self {
        let state = State::new(setup, WINDOWS, Book::new(domain(), 0));
        Self {
            state,
            store: MemoryStore::new(),
            block: 0,
        }
    }

    fn provider(slots: u32) -> Self {
        Self::new(Setup {
            account: Some(PROVIDER),
            capacity: Some(capacity(slots)),
            is_gateway: false,
            send_timeouts: false,
            sample_bps: 0,
            sample_secret: B256::ZERO,
            price_min: 0,
            checks_max: 1024,
            games_max: 0,
        })
    }

    fn gateway() -> Self {
        Self::new(Setup {
            account: Some(Address::repeat_byte(0x6a)),
            capacity: None,
            is_gateway: true,
            send_timeouts: true,
            sample_bps: 0,
            sample_secret: B256::ZERO,
            price_min: 0,
            checks_max: 1024,
            games_max: 0,
        })
    }

    fn apply(&mut self, fact: Fact) -> Changes {
        let changes = self.state.apply(fact);
        self.store.apply(&changes.chain).unwrap();
        self.store.apply(&changes.local).unwrap();
        let facts: Vec<BookFact> = changes.reads.iter().filter_map(answer).collect();
        if !facts.is_empty() {
            self.state.apply(Fact::Learned {
                block: self.block,
                facts,
            });
        }
        changes
    }

    /// One block with events, at second `START + at`.
    fn block(&mut self, at: u64, observed: Vec<Observed>) -> Changes {
        self.block_with(at, observed, Vec::new())
    }

    /// The same, with what was read at it.
    fn block_with(&mut self, at: u64, observed: Vec<Observed>, facts: Vec<BookFact>) -> Changes {
        self.block += 1;
        let last = Block {
            number: self.block,
            hash: B256::repeat_byte(self.block as u8),
            at: START + at,
        };
        let place = Place {
            block: last.number,
            at: last.at,
            log_index: 0,
            transaction: B256::repeat_byte(9),
        };
        let events: Vec<Event> = (0..)
            .zip(observed)
            .map(|(log_index, observed)| {
                let place = Place { log_index, ..place };
                Event { place, observed }
            })
            .collect();
        self.apply(Fact::Blocks {
            last,
            is_head: true,
            events,
            facts,
        })
    }

    /// The same node after a kill: nothing but the store is left.
    fn restart(&mut self) {
        let mut state = State::new(self.state.setup.clone(), WINDOWS, Book::new(domain(), 0));
        state.audits.rules = self.state.audits.rules;
        state.audits.capacity = self.state.audits.capacity;
        state.load(&self.store).unwrap();
        self.state = state;
    }

    fn offer_and_bid(&mut self, tasks: u32) -> (B256, B256) {
        self.block(0, vec![]);
        self.apply(Fact::Offered(SignedOffer {
            offer: self.own_offer(),
            signature: vec![1],
        }));
        let (signed, hash) = signed_bid(tasks);
        self.apply(Fact::Order(Message::Bid(signed)));
        (hash, domain().offer_hash(&self.own_offer()))
    }

    fn own_offer(&self) -> outcry_protocol::types::Offer {
        capacity(
            self.state
                .setup
                .capacity
                .as_ref()
                .map_or(1, |capacity| capacity.slots),
        )
        .offer(START + 600, U256::from(1), 0)
    }
}

fn signed_bid(tasks: u32) -> (SignedBid, B256) {
    let job = job(tasks);
    let bid = bid(&job, 7);
    let hash = domain().bid_hash(&bid);
    (
        SignedBid {
            bid,
            signature: vec![1],
            job,
        },
        hash,
    )
}

/// A chain on which everybody is rich and nothing has happened.
fn answer(key: &FactKey) -> Option<BookFact> {
    Some(match *key {
        FactKey::Balance(account, token) => BookFact::Balance {
            account,
            token,
            free: 1 << 100,
        },
        FactKey::Counter(account) => BookFact::Counter {
            account,
            counter: 0,
        },
        FactKey::Salt(account, salt) => BookFact::Salt {
            account,
            salt,
            cancelled: false,
            taken: false,
            partly: false,
        },
        FactKey::Taken(bid) => BookFact::Taken { bid, tasks: 0 },
        FactKey::Slots(provider, capacity_id) => BookFact::Slots {
            provider,
            capacity_id,
            open: 0,
        },
        FactKey::Barred(bid, provider) => BookFact::Barred {
            bid,
            provider,
            barred: false,
        },
        FactKey::Freed(..) => return None,
    })
}

/// The chain's event for a deal between the example's bid and an offer.
fn opened(offer: &outcry_protocol::types::Offer, tasks: u32) -> (B256, Observed) {
    let (signed, _) = signed_bid(tasks);
    let terms = outcry_protocol::deal::terms(
        &domain(),
        &signed.bid,
        offer,
        &signed.job,
        0,
        0,
        tasks,
        START + 1,
    )
    .unwrap();
    let id = domain().deal_id(&terms);
    (
        id,
        Observed::Opened {
            deal: id,
            terms: Box::new(terms),
        },
    )
}

fn done(task: u32) -> TaskResult {
    TaskResult {
        task,
        cycles: 5,
        outcome: Outcome::stopped(Status::Trapped, 1 << 20),
        output: B256::ZERO,
    }
}

fn claimed(deal: B256) -> Observed {
    claimed_as(deal, CLAIM)
}

fn claimed_as(deal: B256, claim_hash: B256) -> Observed {
    let change = Change::Claimed {
        claim_hash,
        result_root: B256::ZERO,
        cycles: 10,
        price: 30,
        tasks: Bytes::from(vec![0; 76]),
    };
    Observed::Changed { deal, change }
}

#[test]
fn a_provider_without_an_offer_wants_one_and_renews_it_before_it_expires() {
    let mut node = Bench::provider(1);
    assert!(
        node.state.wanted().is_empty(),
        "nothing before the chain is read"
    );
    node.block(0, vec![]);
    assert_eq!(node.state.wanted(), [Activity::Offer]);
    node.apply(Fact::Offered(SignedOffer {
        offer: node.own_offer(),
        signature: vec![1],
    }));
    assert!(node.state.wanted().is_empty());
    node.block(399, vec![]);
    assert!(node.state.wanted().is_empty());
    node.block(400, vec![]);
    assert_eq!(node.state.wanted(), [Activity::Offer]);
    node.apply(Fact::Drain(true));
    assert!(node.state.wanted().is_empty());
}

#[test]
fn a_match_is_reserved_on_disk_before_it_is_opened_and_survives_a_kill() {
    let mut node = Bench::provider(1);
    node.offer_and_bid(2);
    node.block(1, vec![]);
    let reservation = *node
        .state
        .reservations
        .keys()
        .next()
        .expect("a reservation");
    assert_eq!(node.state.wanted(), [Activity::Open(reservation)]);
    let kept = node.state.reservations.clone();
    node.restart();
    assert_eq!(node.state.reservations, kept);
}

#[test]
fn a_provider_keeps_no_more_matches_than_it_has_slots() {
    let mut node = Bench::provider(1);
    node.offer_and_bid(1);
    let job = job(1);
    let other = bid(&job, 8);
    node.apply(Fact::Order(Message::Bid(SignedBid {
        bid: other,
        signature: vec![1],
        job,
    })));
    node.block(1, vec![]);
    node.block(2, vec![]);
    assert_eq!(node.state.reservations.len(), 1);
    assert_eq!(node.state.slots_free(), 0);
}

/// A bid of one task by another account.
fn foreign_bid(salt: u64) -> (Message, B256) {
    let job = job(1);
    let bid = outcry_protocol::types::Bid {
        buyer: Address::repeat_byte(0xb2),
        ..bid(&job, salt)
    };
    let hash = domain().bid_hash(&bid);
    let signature = vec![1];
    let signed = SignedBid {
        bid,
        signature,
        job,
    };
    (Message::Bid(signed), hash)
}

#[test]
fn a_bid_that_comes_between_blocks_is_matched_when_the_chain_was_asked_about_it() {
    let mut node = Bench::provider(1);
    node.offer_and_bid(1);
    node.block(1, vec![]);
    node.state.reservations.clear();
    node.state.epoch.clear();
    let (message, hash) = foreign_bid(8);
    let asked = node.state.apply(Fact::Order(message)).reads;
    assert!(!node.state.has_arrivals(), "its balance is not known yet");
    node.apply(Fact::Arrivals);
    assert!(node.state.reservations.is_empty());
    let facts = asked.iter().filter_map(answer).collect();
    node.apply(Fact::Learned { block: 2, facts });
    assert!(node.state.has_arrivals());
    node.apply(Fact::Arrivals);
    assert!(node.state.matched.contains_key(&hash));
    assert_eq!(node.state.reservations.len(), 1);
    assert!(!node.state.has_arrivals());
}

#[test]
fn an_arrival_takes_nothing_from_what_the_block_matched() {
    let mut node = Bench::provider(1);
    node.offer_and_bid(1);
    node.block(1, vec![]);
    let before = node.state.reservations.clone();
    for salt in 8..40 {
        let (message, _) = foreign_bid(salt);
        node.apply(Fact::Order(message));
        node.apply(Fact::Arrivals);
    }
    assert_eq!(node.state.matched.len(), 1);
    assert_eq!(node.state.reservations, before);
}

#[test]
fn an_arrival_that_was_matched_with_another_provider_is_left_to_it_for_one_block() {
    let mut node = Bench::provider(1);
    node.block(0, vec![]);
    let cheaper = outcry_protocol::types::Offer {
        provider: Address::repeat_byte(0xf2),
        startFee: 1,
        ..offer(1, 1)
    };
    node.apply(Fact::Order(Message::Offer(SignedOffer {
        offer: cheaper.clone(),
        signature: vec![1],
    })));
    let (message, hash) = foreign_bid(8);
    node.apply(Fact::Order(message));
    node.apply(Fact::Arrivals);
    assert_eq!(node.state.matched.len(), 1);
    node.apply(Fact::Offered(SignedOffer {
        offer: node.own_offer(),
        signature: vec![1],
    }));
    // The other's slots are gone, so that the next block gives the bid to this node.
    let full = BookFact::Slots {
        provider: cheaper.provider,
        capacity_id: cheaper.capacityId,
        open: cheaper.slots,
    };
    node.apply(Fact::Learned {
        block: 1,
        facts: vec![full],
    });
    node.block(1, vec![]);
    assert!(node.state.matched.contains_key(&hash));
    assert!(
        node.state.reservations.is_empty(),
        "its opening may be on its way"
    );
    node.block(2, vec![]);
    assert_eq!(node.state.reservations.len(), 1);
}

#[test]
fn a_provider_keeps_no_match_of_a_task_that_it_could_not_defend() {
    let mut node = Bench::provider(1);
    if let Some(capacity) = &mut node.state.setup.capacity {
        capacity.cycle_limit_max -= 1;
    }
    node.offer_and_bid(2);
    node.block(1, vec![]);
    assert!(!node.state.matched.is_empty());
    assert!(node.state.reservations.is_empty());
}

#[test]
fn a_provider_bounds_its_value_at_risk() {
    let mut node = Bench::provider(1);
    node.state
        .setup
        .capacity
        .as_mut()
        .unwrap()
        .value_at_risk_max = 1;
    node.offer_and_bid(1);
    node.block(1, vec![]);
    assert!(node.state.reservations.is_empty());
}

#[test]
fn a_refused_opening_frees_its_slot() {
    let mut node = Bench::provider(1);
    node.offer_and_bid(1);
    node.block(1, vec![]);
    let reservation = *node.state.reservations.keys().next().unwrap();
    node.apply(Fact::OpenRefused {
        reservation,
        reason: "BidTaken".into(),
    });
    assert_eq!(node.state.slots_free(), 1);
    node.restart();
    assert!(node.state.reservations.is_empty());
}

#[test]
fn an_own_deal_is_run_then_claimed_also_when_the_node_is_killed_in_between() {
    let mut node = Bench::provider(1);
    node.offer_and_bid(2);
    node.block(1, vec![]);
    let reservation = *node.state.reservations.keys().next().unwrap();
    node.apply(Fact::OpenMined {
        reservation,
        block: 3,
    });
    let (deal, event) = opened(&node.own_offer(), 2);
    node.block(2, vec![event]);
    assert!(
        node.state.reservations.is_empty(),
        "the deal holds the slot now"
    );
    assert_eq!(
        (node.state.wanted(), node.state.slots_free()),
        (vec![Activity::Run(deal)], 0)
    );
    node.apply(Fact::TaskDone {
        deal,
        result: done(0),
    });
    node.restart();
    node.block(3, vec![]);
    assert!(
        node.state.wanted().contains(&Activity::Run(deal)),
        "one result is there, one is missing"
    );
    node.apply(Fact::TaskDone {
        deal,
        result: done(1),
    });
    assert!(node.state.wanted().contains(&Activity::Claim(deal)));
    node.block(4, vec![claimed(deal)]);
    assert!(!node.state.wanted().contains(&Activity::Claim(deal)));
    assert_eq!(node.state.slots_free(), 1, "a claimed deal holds no slot");
}

#[test]
fn an_acceptance_is_settled_and_the_end_of_the_window_finalises() {
    let mut node = Bench::provider(1);
    node.offer_and_bid(2);
    let (deal, event) = opened(&node.own_offer(), 2);
    node.block(1, vec![event]);
    node.block(2, vec![claimed(deal)]);
    assert!(node.state.settleable().is_empty());
    let signature = Bytes::from_static(b"accept");
    node.apply(Fact::AcceptReceived {
        deal,
        claim_hash: B256::repeat_byte(0xcc),
        signature: signature.clone(),
    });
    node.restart();
    node.block(3, vec![]);
    assert!(node.state.wanted().contains(&Activity::Settle));
    let ready = node.state.settleable();
    assert_eq!(
        (ready.len(), &ready[0].1, ready[0].2),
        (1, &Some(signature), false)
    );
    node.block(
        63,
        vec![Observed::Changed {
            deal,
            change: Change::Paid { paid: 30, fee: 0 },
        }],
    );
    let ready = node.state.settleable();
    assert_eq!((ready.len(), &ready[0].1, ready[0].2), (1, &None, true));
    node.block(
        64,
        vec![Observed::Changed {
            deal,
            change: Change::Finalised,
        }],
    );
    assert!(node.state.works.is_empty());
}

#[test]
fn a_finished_deal_is_forgotten_after_its_time_and_leaves_no_record() {
    const KEEP_S: u64 = 1_000;
    let mut node = Bench::provider(1);
    node.block(0, vec![]);
    let (deal, event) = opened(&offer(1, 1), 2);
    let posted = Observed::JobPosted {
        bid: signed_bid(2).1,
        job: job(2),
    };
    node.block(1, vec![posted, event]);
    let change = Change::Failed {
        failure: Failure::Timeout,
        refunded: 1,
        to_buyer: 0,
        burned: 0,
    };
    node.block(500, vec![Observed::Changed { deal, change }]);
    node.block(500 + KEEP_S, vec![]);
    assert_eq!(node.state.prunable(KEEP_S, 10), Prunable::default());
    node.block(501 + KEEP_S, vec![]);
    let due = node.state.prunable(KEEP_S, 10);
    assert_eq!(due.deals, [deal]);
    assert_eq!(node.state.prunable(KEEP_S, 0), Prunable::default());
    node.apply(Fact::Pruned(due));
    node.restart();
    assert!(node.state.deals.is_empty() && node.state.posted.is_empty());
    assert!(node.state.deals_of(signed_bid(2).1).is_empty());
}

#[test]
fn a_failed_deal_stays_as_long_as_its_bid_may_be_served_again() {
    let mut node = Bench::provider(1);
    node.block(0, vec![]);
    let (signed, _) = signed_bid(2);
    node.apply(Fact::Order(Message::Bid(signed)));
    let (deal, event) = opened(&offer(1, 1), 2);
    node.block(1, vec![event]);
    let change = Change::Failed {
        failure: Failure::Timeout,
        refunded: 1,
        to_buyer: 0,
        burned: 0,
    };
    node.block(500, vec![Observed::Changed { deal, change }]);
    node.block(3_600, vec![]);
    assert_eq!(node.state.prunable(10, 10), Prunable::default());
    node.block(3_601, vec![]);
    assert_eq!(node.state.prunable(10, 10).deals, [deal]);
}

#[test]
fn a_gateway_watches_a_job_from_submission_to_payment_and_announces_each_event_once() {
    let mut node = Bench::gateway();
    node.block(0, vec![]);
    let (signed, id) = signed_bid(2);
    node.apply(Fact::Submitted(signed));
    node.apply(Fact::Order(Message::Offer(SignedOffer {
        offer: offer(1, 1),
        signature: vec![1],
    })));
    node.block(1, vec![]);
    assert_eq!(node.state.jobs[&id].state, JobState::Matched);
    let (deal, event) = opened(&offer(1, 1), 2);
    node.block(2, vec![event]);
    assert_eq!(node.state.jobs[&id].state, JobState::Funded);
    let mut report = Report::default();
    node.apply(Fact::Reported { deal, report });
    assert_eq!(node.state.jobs[&id].state, JobState::Starting);
    report.running = true;
    node.apply(Fact::Reported { deal, report });
    assert_eq!(node.state.jobs[&id].state, JobState::Running);
    node.restart();
    node.block(3, vec![claimed(deal)]);
    assert_eq!(node.state.jobs[&id].state, JobState::Verifying);
    assert_eq!(node.state.wanted(), [Activity::FetchResults(deal)]);
    node.apply(Fact::ResultsFetched {
        deal,
        results: vec![done(0), done(1)],
    });
    let signature = Bytes::from_static(b"accept");
    node.apply(Fact::AcceptSubmitted {
        deal,
        claim_hash: B256::repeat_byte(0xcc),
        signature,
    });
    assert_eq!(node.state.wanted(), [Activity::Deliver(deal)]);
    node.apply(Fact::AcceptDelivered { deal });
    node.block(
        4,
        vec![Observed::Changed {
            deal,
            change: Change::Paid { paid: 30, fee: 0 },
        }],
    );
    assert_eq!(node.state.jobs[&id].state, JobState::Settled);
    node.block(
        70,
        vec![Observed::Changed {
            deal,
            change: Change::Finalised,
        }],
    );
    let events = super::journal::events(&node.store, id, 0, 100).unwrap();
    let names: Vec<String> = events
        .iter()
        .map(|event| {
            serde_json::to_value(event).unwrap()["kind"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(
        names,
        [
            "submitted",
            "matched",
            "dealOpened",
            "progress",
            "progress",
            "dealClaimed",
            "dealAccepted",
            "ended"
        ]
    );
    assert_eq!(
        events.iter().map(|event| event.seq).collect::<Vec<_>>(),
        (1..=8).collect::<Vec<_>>()
    );
}

#[test]
fn a_providers_word_is_announced_only_as_far_as_it_goes_further() {
    let mut node = Bench::gateway();
    node.block(0, vec![]);
    let (signed, id) = signed_bid(2);
    node.apply(Fact::Submitted(signed));
    let (deal, event) = opened(&offer(1, 1), 2);
    node.block(2, vec![event]);
    let say = |node: &mut Bench, running, tasks_done, cycles| {
        let before = node.state.jobs[&id].events;
        let report = Report {
            running,
            tasks_done,
            cycles,
        };
        node.apply(Fact::Reported { deal, report });
        node.state.jobs[&id].events - before
    };
    assert_eq!(say(&mut node, false, 0, 0), 1);
    assert_eq!(say(&mut node, true, 0, 0), 1);
    assert_eq!(say(&mut node, true, 1, 70), 1);
    assert_eq!(say(&mut node, true, 1, 71), 0, "more cycles alone");
    for _ in 0..10 {
        assert_eq!(
            say(&mut node, false, 1, 71),
            0,
            "a provider that starts over"
        );
        assert_eq!(node.state.jobs[&id].state, JobState::Starting);
        assert_eq!(say(&mut node, true, 1, 71), 0);
        assert_eq!(node.state.jobs[&id].state, JobState::Running);
    }
    assert_eq!(say(&mut node, true, 2, 140), 1);
}

#[test]
fn a_gateway_times_an_overdue_deal_out_and_the_job_is_on_the_market_again() {
    let mut node = Bench::gateway();
    node.block(0, vec![]);
    let (signed, id) = signed_bid(2);
    node.apply(Fact::Submitted(signed));
    let (deal, event) = opened(&offer(1, 1), 2);
    node.block(2, vec![event]);
    let overdue = node.state.deals[&deal].terms.deadline - START + 1;
    node.block(overdue, vec![]);
    assert_eq!(node.state.wanted(), [Activity::Timeout(deal)]);
    let change = Change::Failed {
        failure: Failure::Timeout,
        refunded: 100,
        to_buyer: 10,
        burned: 10,
    };
    node.block(overdue + 1, vec![Observed::Changed { deal, change }]);
    assert_eq!(node.state.deals[&deal].state(), DealState::TimedOut);
    assert_eq!(node.state.jobs[&id].state, JobState::Interrupted);
    let events =
        super::journal::events(&node.store, id, 0, 100).expect("every event can be read back");
    assert!(matches!(
        events.last().unwrap().event,
        JobEventKind::DealFailed {
            deal_state: DealState::TimedOut,
            ..
        }
    ));
    let bid = node.state.jobs[&id].signed.bid.clone();
    let ranges = node.state.book.open_ranges(id, &bid);
    assert!(
        ranges
            .iter()
            .any(|range| range.failed_deal == Some(deal) && range.count == 2),
        "{ranges:?}"
    );
}

#[test]
fn a_provider_whose_deal_failed_is_passed_over_for_its_bid() {
    for failure in [
        Failure::Timeout,
        Failure::OutputWithheld,
        Failure::ClaimRefuted,
    ] {
        let mut node = Bench::gateway();
        node.block(0, vec![]);
        let (signed, id) = signed_bid(2);
        node.apply(Fact::Submitted(signed));
        let (deal, event) = opened(&offer(1, 1), 2);
        node.block(2, vec![event]);
        assert!(node.state.absences.clone().lift(u64::MAX).is_empty());
        let change = Change::Failed {
            failure,
            refunded: 100,
            to_buyer: 10,
            burned: 10,
        };
        node.block(3, vec![Observed::Changed { deal, change }]);
        let provider = node.state.deals[&deal].terms.provider;
        let barred = node.state.absences.clone().lift(u64::MAX);
        assert_eq!(barred, [(id, provider)], "{failure:?}");
    }
}

#[test]
fn a_job_whose_bid_is_cancelled_ends_cancelled() {
    let mut node = Bench::gateway();
    node.block(0, vec![]);
    let (signed, id) = signed_bid(1);
    let salt = signed.bid.salt;
    node.apply(Fact::Submitted(signed));
    node.block(
        1,
        vec![Observed::Cancelled {
            account: BUYER,
            salt,
        }],
    );
    assert_eq!(node.state.jobs[&id].state, JobState::Cancelled);
}

#[test]
fn a_dead_provider_does_not_keep_a_bid_from_the_next_best() {
    let mut node = Bench::gateway();
    node.block(0, vec![]);
    let cheap = offer(1, 1);
    let mut dear = offer(1, 2);
    (dear.provider, dear.capacityId, dear.startFee) =
        (Address::repeat_byte(0xf2), B256::repeat_byte(0xcb), 20);
    for offer in [&cheap, &dear] {
        node.apply(Fact::Order(Message::Offer(SignedOffer {
            offer: offer.clone(),
            signature: vec![1],
        })));
    }
    let (signed, id) = signed_bid(1);
    node.apply(Fact::Submitted(signed));
    let (cheap, dear) = (domain().offer_hash(&cheap), domain().offer_hash(&dear));
    for at in 1..=6 {
        node.block(at, vec![]);
        assert_eq!(node.state.matched[&id], [(cheap, 1)], "second {at}");
    }
    node.block(7, vec![]);
    assert_eq!(node.state.matched[&id], [(dear, 1)]);
    for at in 8..=66 {
        node.block(at, vec![]);
    }
    assert_eq!(node.state.matched[&id], [(cheap, 1)], "it may be back");
}

#[test]
fn a_strangers_bid_enters_the_book_only_when_the_chain_backs_it() {
    let mut node = Bench::gateway();
    node.block(0, vec![]);
    let (message, hash) = foreign_bid(8);
    let heard = |node: &mut Bench| node.state.apply(Fact::Heard(message.clone())).order;
    assert!(heard(&mut node).is_none(), "nothing is known of it yet");
    let asked = node.state.asks_of(&message);
    assert_eq!(asked.len(), 4);
    let facts = asked.iter().filter_map(answer).collect();
    node.state.apply(Fact::Learned { block: 1, facts });
    assert!(node.state.asks_of(&message).is_empty());
    assert!(heard(&mut node).is_some() && node.state.book.bid(&hash).is_some());
}

#[test]
fn a_bid_without_money_displaces_nobody_from_a_full_book() {
    let mut node = Bench::gateway();
    let full = outcry_protocol::book::Capacity {
        bids: 1,
        ..Default::default()
    };
    node.state.book = Book::with_capacity(domain(), 0, full);
    node.block(0, vec![]);
    let (signed, honest) = signed_bid(1);
    node.apply(Fact::Submitted(signed));
    let (mut longer, _) = signed_bid(1);
    let account = Address::repeat_byte(0xb2);
    (longer.bid.buyer, longer.bid.expiry) = (account, longer.bid.expiry + 100);
    let message = Message::Bid(longer);
    let asked = node.state.asks_of(&message);
    let facts = asked.iter().filter_map(answer).map(|fact| match fact {
        BookFact::Balance { token, .. } => BookFact::Balance {
            account,
            token,
            free: 0,
        },
        fact => fact,
    });
    let facts = facts.collect();
    node.state.apply(Fact::Learned { block: 1, facts });
    assert!(node.state.apply(Fact::Heard(message)).order.is_none());
    assert!(node.state.book.bid(&honest).is_some());
}

#[test]
fn what_a_block_touched_while_it_was_read_is_read_again_with_the_next() {
    let mut node = Bench::gateway();
    node.block(0, vec![]);
    let (signed, _) = signed_bid(1);
    node.apply(Fact::Submitted(signed));
    assert!(node.state.touched(&[]).is_empty());
    let balance = FactKey::Balance(BUYER, TOKEN);
    // The shell looked what this block touches before the book knew the account.
    let (account, token) = (BUYER, TOKEN);
    node.block(1, vec![Observed::Balance { account, token }]);
    assert_eq!(node.state.touched(&[]), [balance]);
    let facts = Vec::from_iter(answer(&balance));
    // As of a block before the last one, which may have touched it.
    let (block, stale) = (1, facts.clone());
    node.state.apply(Fact::Learned {
        block,
        facts: stale,
    });
    assert_eq!(node.state.touched(&[]), [balance]);
    node.state.apply(Fact::Learned { block: 2, facts });
    assert!(node.state.touched(&[]).is_empty());
}

#[test]
fn a_fact_that_could_not_be_read_is_asked_for_with_every_block_until_it_is() {
    let mut node = Bench::gateway();
    node.block(0, vec![]);
    let (signed, _) = signed_bid(1);
    // The chain does not answer: the reads of this order are lost.
    let changes = node.state.apply(Fact::Submitted(signed));
    assert!(!changes.reads.is_empty());
    let missing = node.state.touched(&[]);
    assert_eq!(missing.len(), changes.reads.len());
    let facts = missing.iter().filter_map(answer).collect();
    node.state.apply(Fact::Learned { block: 1, facts });
    assert!(node.state.touched(&[]).is_empty());
}

#[test]
fn a_reorganisation_takes_a_deal_back_and_what_it_freed() {
    let mut node = Bench::gateway();
    node.block(0, vec![]);
    let (signed, id) = signed_bid(2);
    node.apply(Fact::Submitted(signed));
    let (deal, event) = opened(&offer(1, 1), 2);
    node.block(2, vec![event]);
    let change = Change::Failed {
        failure: Failure::Timeout,
        refunded: 100,
        to_buyer: 10,
        burned: 10,
    };
    node.block(500, vec![Observed::Changed { deal, change }]);
    let bid = node.state.jobs[&id].signed.bid.clone();
    let is_freed = |node: &Bench| {
        node.state
            .book
            .open_ranges(id, &bid)
            .iter()
            .any(|range| range.failed_deal == Some(deal))
    };
    assert!(is_freed(&node));
    // The follower restores the deal's record of block 2; then the state is read again.
    let mut record = node.state.deals[&deal].clone();
    assert!(record.roll_back(2));
    let mut batch = outcry_store::Batch::new();
    batch.put(
        outcry_store::keys::deal(&deal.0),
        serde_json::to_vec(&record).unwrap(),
    );
    node.store.apply(&batch).unwrap();
    node.state.load(&node.store).unwrap();
    node.state.rewind(2);
    assert_eq!(node.state.deals[&deal].state(), DealState::Open);
    assert!(!is_freed(&node));
    assert!(
        node.state.wanted().is_empty(),
        "nothing before the chain is read again"
    );
}

const VERIFIER: Address = Address::repeat_byte(0xe1);
const CLAIM: B256 = B256::repeat_byte(0xcc);

/// A verifier that has seen a claim about two tasks and re-executed it with these findings.
fn verifier(findings: Vec<Finding>) -> (Bench, B256) {
    let mut node = Bench::new(Setup {
        account: Some(VERIFIER),
        capacity: None,
        is_gateway: false,
        send_timeouts: false,
        sample_bps: 10_000,
        sample_secret: B256::ZERO,
        price_min: 0,
        checks_max: 8,
        games_max: 2,
    });
    node.block(0, vec![]);
    let (deal, event) = opened(&offer(1, 1), 2);
    node.block(1, vec![event, claimed(deal)]);
    assert_eq!(node.state.wanted(), [Activity::Verify(deal)]);
    node.apply(Fact::ClaimChecked {
        deal,
        claim_hash: CLAIM,
        findings,
    });
    (node, deal)
}

fn found_wrong() -> Finding {
    Finding::Mismatched {
        cycles: 9,
        outcome: Outcome::stopped(Status::Trapped, 1 << 20),
    }
}

fn game(deal: B256, task: u32, challenger: Address) -> Box<DisputeRecord> {
    let key = GameKey {
        claim_hash: CLAIM,
        task,
        challenger,
        until: 0,
    };
    let place = Place {
        block: 3,
        at: START + 2,
        log_index: 0,
        transaction: B256::repeat_byte(9),
    };
    Box::new(DisputeRecord {
        id: key.id(),
        deal,
        key,
        provider: PROVIDER,
        initial: B256::repeat_byte(1),
        asserted: B256::repeat_byte(2),
        halted: B256::repeat_byte(3),
        sections: 4,
        clock_s: 50,
        bond: 10,
        history: vec![(place, Turn::Challenged { seated: true })],
    })
}

fn section(game: B256, by: u8) -> Observed {
    let ends = (0..16).map(|end| B256::with_last_byte(16 * by + end));
    Observed::GameWentOn {
        game,
        turn: Turn::Sectioned {
            part: 0,
            ends: ends.collect(),
        },
    }
}

#[test]
fn a_claim_that_was_found_right_or_could_not_be_checked_is_never_challenged() {
    for findings in [
        vec![Finding::Agreed, Finding::Agreed],
        vec![Finding::Agreed, Finding::Unavailable],
    ] {
        let (node, _) = verifier(findings);
        assert!(node.state.wanted().is_empty());
    }
}

#[test]
fn a_false_claim_is_challenged_once_by_its_first_false_task_within_its_window() {
    let (mut node, deal) = verifier(vec![Finding::Agreed, found_wrong()]);
    assert_eq!(node.state.wanted(), [Activity::Challenge(deal)]);
    let found = node.state.challengeable(&node.state.deals[&deal]).unwrap();
    let job = node.state.deals[&deal].terms.jobHash;
    let inner = Outcome::stopped(Status::Trapped, 1 << 20).inner();
    assert_eq!(found.task, 1);
    assert_eq!(
        found.halted,
        outcry_protocol::hash::halted_hash(job, 1, 9, inner)
    );
    node.restart();
    node.block(59, vec![]);
    assert_eq!(node.state.wanted(), [Activity::Challenge(deal)]);
    node.block(61, vec![]);
    assert!(node.state.wanted().is_empty(), "the window is over");
}

#[test]
fn no_more_games_are_started_than_the_operator_allows() {
    let (mut node, deal) = verifier(vec![found_wrong(), Finding::Agreed]);
    node.state.setup.games_max = 0;
    assert!(node.state.wanted().is_empty());
    node.state.setup.games_max = 1;
    assert_eq!(node.state.wanted(), [Activity::Challenge(deal)]);
    let mut other = game(deal, 0, VERIFIER);
    (other.key.claim_hash, other.deal) = (B256::repeat_byte(0xab), B256::repeat_byte(0xba));
    other.id = other.key.id();
    let other_id = other.id;
    node.block(2, vec![Observed::GameBegan(other)]);
    assert_eq!(node.state.wanted(), [Activity::Play(other_id, 0)]);
    assert_eq!(node.state.at_risk(), (1, 10));
}

#[test]
fn a_challenger_moves_waits_and_after_its_victory_settles_and_collects() {
    let (mut node, deal) = verifier(vec![found_wrong(), Finding::Agreed]);
    let own = game(deal, 0, VERIFIER);
    let id = own.id;
    node.block(2, vec![Observed::GameBegan(own)]);
    assert_eq!(node.state.wanted(), [Activity::Play(id, 0)]);
    node.block(3, vec![section(id, 1)]);
    assert!(node.state.wanted().is_empty(), "the provider is to move");
    node.restart();
    node.block(4, vec![section(id, 2)]);
    assert_eq!(node.state.wanted(), [Activity::Play(id, 2)]);
    node.block(5, vec![section(id, 3)]);
    // The provider's clock stood at 49 when its turn began at 5.
    node.block(54, vec![]);
    assert!(node.state.wanted().is_empty());
    node.block(55, vec![]);
    assert_eq!(
        node.state.wanted(),
        [Activity::Play(id, 3)],
        "the provider is late"
    );
    let turn = Turn::Ended {
        challenger_won: true,
        by_timeout: true,
    };
    node.block(56, vec![Observed::GameWentOn { game: id, turn }]);
    assert_eq!(node.state.wanted(), [Activity::Verdict(CLAIM)]);
    let turn = Turn::Settled {
        stands: false,
        winner: VERIFIER,
        reward: 7,
    };
    let verdict = Observed::ClaimDecided {
        claim_hash: CLAIM,
        turn,
    };
    node.block(57, vec![verdict]);
    node.restart();
    node.block(58, vec![]);
    assert_eq!(node.state.wanted(), [Activity::Collect(CLAIM)]);
    let turn = Turn::Collected {
        to_challenger: 10,
        to_provider: 0,
        burned: 0,
    };
    node.block(59, vec![Observed::GameWentOn { game: id, turn }]);
    assert!(node.state.wanted().is_empty());
}

#[test]
fn what_was_found_about_a_claim_says_nothing_about_another_that_a_fork_puts_in_its_place() {
    let (mut node, deal) = verifier(vec![found_wrong(), Finding::Agreed]);
    node.block(2, vec![]);
    assert_eq!(node.state.wanted(), [Activity::Challenge(deal)]);
    // The fork takes the claim back, and the provider makes another.
    let record = &node.state.deals[&deal];
    let mut unclaimed = record.clone();
    unclaimed.history.truncate(1);
    let mut changes = outcry_store::Batch::new();
    super::journal::put_deal(&mut changes, &unclaimed);
    node.store.apply(&changes).unwrap();
    node.state.load(&node.store).unwrap();
    node.state.rewind(2);
    let other = B256::repeat_byte(0xcd);
    node.block(3, vec![claimed_as(deal, other)]);
    assert_eq!(node.state.wanted(), [Activity::Verify(deal)]);
    // A re-execution of the first one that ends only now.
    let checked = |claim_hash, finding: Finding| Fact::ClaimChecked {
        deal,
        claim_hash,
        findings: vec![finding; 2],
    };
    node.apply(checked(CLAIM, found_wrong()));
    assert_eq!(node.state.wanted(), [Activity::Verify(deal)]);
    node.apply(checked(other, Finding::Agreed));
    assert!(node.state.wanted().is_empty());
    node.restart();
    node.block(4, vec![]);
    assert!(node.state.wanted().is_empty());
}

#[test]
fn claims_whose_inputs_nobody_serves_do_not_keep_others_from_being_checked() {
    let (mut node, _) = verifier(vec![Finding::Agreed, Finding::Agreed]);
    node.state.setup.checks_max = 1;
    let claims: Vec<B256> = (2..4)
        .map(|salt| {
            let (deal, event) = opened(&offer(1, salt), 2);
            let claim = claimed_as(deal, B256::repeat_byte(salt as u8));
            node.block(salt, vec![event, claim]);
            deal
        })
        .collect();
    assert_eq!(node.state.wanted(), [Activity::Verify(claims[0])]);
    node.apply(Fact::Unfetched { deal: claims[0] });
    assert_eq!(node.state.wanted(), [Activity::Verify(claims[1])]);
    // Those that failed as often are tried by the ends of their windows again.
    node.apply(Fact::Unfetched { deal: claims[1] });
    assert_eq!(node.state.wanted(), [Activity::Verify(claims[0])]);
}

/// A verifier whose own game waits while 32 others, which began before and are about `claim_hash`, have
/// the provider's seats; with their ids.
fn crowded_out(claim_hash: B256) -> (Bench, B256, Vec<B256>) {
    let (mut node, deal) = verifier(vec![found_wrong(), Finding::Agreed]);
    let mut shams = Vec::new();
    for challenger in 0..32 {
        let mut sham = game(deal, 0, Address::repeat_byte(challenger));
        sham.key.claim_hash = claim_hash;
        sham.id = sham.key.id();
        shams.push(sham.id);
        node.block(2, vec![Observed::GameBegan(sham)]);
    }
    let mut own = game(deal, 0, VERIFIER);
    own.history[0].1 = Turn::Challenged { seated: false };
    let id = own.id;
    node.block(3, vec![Observed::GameBegan(own), section(id, 1)]);
    assert!(node.state.wanted().is_empty(), "everybody has time");
    (node, id, shams)
}

fn ended(game: B256, challenger_won: bool) -> Observed {
    let turn = Turn::Ended {
        challenger_won,
        by_timeout: true,
    };
    Observed::GameWentOn { game, turn }
}

#[test]
fn silent_games_that_take_a_providers_seats_are_ended_by_who_waits_for_one() {
    let (mut node, own, shams) = crowded_out(CLAIM);
    node.block(52, vec![]);
    assert!(node.state.wanted().is_empty(), "in their last second");
    node.block(53, vec![]);
    let mut ends: Vec<Activity> = shams.iter().map(|id| Activity::EndOverdue(*id)).collect();
    ends.sort_unstable();
    let mut wanted = node.state.wanted();
    wanted.sort_unstable();
    assert_eq!(wanted, ends);
    node.block(54, vec![ended(shams[5], false)]);
    assert_eq!(node.state.wanted(), [Activity::Seat(PROVIDER)]);
    let turn = Turn::Seated;
    node.block(55, vec![Observed::GameWentOn { game: own, turn }]);
    assert!(node.state.wanted().is_empty(), "the provider is to move");
}

#[test]
fn of_games_that_their_provider_lets_pass_one_is_ended_and_the_claim_falls_with_it() {
    let other = B256::repeat_byte(0xab);
    let (mut node, _, shams) = crowded_out(other);
    // The accomplices move; the provider does not answer.
    let moves = shams.iter().map(|id| section(*id, 1)).collect();
    node.block(4, moves);
    node.block(54, vec![]);
    assert!(node.state.wanted().is_empty());
    node.block(55, vec![]);
    let wanted = node.state.wanted();
    let [Activity::EndOverdue(first)] = wanted[..] else {
        unreachable!("{wanted:?}");
    };
    // Somebody takes the seat at once.
    let mut late = *game(node.state.disputes.get(&first).unwrap().deal, 1, BUYER);
    late.key.claim_hash = other;
    late.id = late.key.id();
    let late = Observed::GameBegan(Box::new(late));
    node.block(56, vec![ended(first, true), late]);
    assert_eq!(node.state.wanted(), [Activity::Verdict(other)]);
    let turn = Turn::Settled {
        stands: false,
        winner: BUYER,
        reward: 1,
    };
    let verdict = Observed::ClaimDecided {
        claim_hash: other,
        turn,
    };
    node.block(57, vec![verdict]);
    // The verdict gives no seat back: each game has to be paid out.
    assert_eq!(node.state.wanted(), [Activity::Collect(other)]);
    let keys = node.state.collectable(other);
    assert_eq!(keys.len(), 32);
    assert!(keys.iter().all(|key| key.id() != first), "it has no seat");
    let turn = Turn::Collected {
        to_challenger: 10,
        to_provider: 0,
        burned: 0,
    };
    let game = keys[0].id();
    node.block(58, vec![Observed::GameWentOn { game, turn }]);
    assert_eq!(node.state.wanted(), [Activity::Seat(PROVIDER)]);
}

#[test]
fn a_game_without_a_move_is_left_alone_until_it_goes_on() {
    let (mut node, deal) = verifier(vec![found_wrong(), Finding::Agreed]);
    let own = game(deal, 0, VERIFIER);
    let id = own.id;
    let challenge = own.history[0].0.transaction;
    node.block(2, vec![Observed::GameBegan(own)]);
    assert_eq!(node.state.wanted(), [Activity::Play(id, 0)]);
    assert_eq!(node.state.tasks_in_dispute().len(), 1);
    let after = B256::repeat_byte(0x77);
    node.apply(Fact::NoMove { game: id, after });
    assert_eq!(
        node.state.wanted(),
        [Activity::Play(id, 0)],
        "another fork's"
    );
    let after = challenge;
    node.apply(Fact::NoMove { game: id, after });
    assert!(node.state.wanted().is_empty());
    assert!(node.state.tasks_in_dispute().is_empty());
}

#[test]
fn a_challenger_plays_all_its_games_at_once() {
    let (mut node, deal) = verifier(vec![Finding::Agreed, Finding::Agreed]);
    for task in 0..40 {
        let own = game(deal, task, VERIFIER);
        node.block(2, vec![Observed::GameBegan(own)]);
    }
    assert_eq!(node.state.wanted().len(), 40);
}

#[test]
fn of_too_many_games_those_that_are_paid_out_or_owe_nothing_go_first() {
    let (mut node, deal) = verifier(vec![found_wrong(), Finding::Agreed]);
    let own = game(deal, 0, VERIFIER);
    let others = game(deal, 0, BUYER);
    let (id, of_other) = (own.id, others.id);
    let due = |node: &Bench| node.state.disputes_beyond(0, 10);
    node.block(
        2,
        vec![Observed::GameBegan(own), Observed::GameBegan(others)],
    );
    assert!(due(&node).is_empty());
    node.block(3, vec![ended(id, true)]);
    assert!(due(&node).is_empty(), "the verdict is to come");
    let turn = Turn::Settled {
        stands: false,
        winner: VERIFIER,
        reward: 1,
    };
    let verdict = Observed::ClaimDecided {
        claim_hash: CLAIM,
        turn,
    };
    node.block(4, vec![verdict]);
    assert!(due(&node).is_empty(), "bonds are owed, and a seat is taken");
    for game in [id, of_other] {
        let turn = Turn::Collected {
            to_challenger: 10,
            to_provider: 0,
            burned: 0,
        };
        node.block(5, vec![Observed::GameWentOn { game, turn }]);
        assert!(due(&node).contains(&game));
    }
}

#[test]
fn a_provider_answers_in_its_32_seated_games_and_fills_a_seat_that_is_free() {
    let mut node = Bench::provider(1);
    node.offer_and_bid(2);
    let (deal, event) = opened(&node.own_offer(), 2);
    node.block(1, vec![event, claimed(deal)]);
    let mut ids = Vec::new();
    for block in 0..40_u8 {
        let mut game = game(deal, 0, Address::repeat_byte(block));
        let (id, seated) = (game.id, block < 32);
        game.history[0].0.block = 3 + u64::from(block);
        game.history[0].1 = Turn::Challenged { seated };
        ids.push(id);
        node.block(2, vec![Observed::GameBegan(game), section(id, 1)]);
    }
    let plays: Vec<Activity> = ids[..32].iter().map(|id| Activity::Play(*id, 1)).collect();
    let of_games = |node: &Bench| {
        let mut wanted = node.state.wanted();
        wanted.retain(|activity| {
            matches!(
                activity,
                Activity::Play(..)
                    | Activity::Seat(_)
                    | Activity::Verdict(_)
                    | Activity::Collect(_)
            )
        });
        wanted
    };
    assert_eq!(of_games(&node), plays);
    // The first is won: its seat is free, and its bond is the provider's to collect.
    let turn = Turn::Ended {
        challenger_won: false,
        by_timeout: true,
    };
    node.block(3, vec![Observed::GameWentOn { game: ids[0], turn }]);
    assert_eq!(
        of_games(&node),
        [
            &[Activity::Collect(CLAIM)],
            &plays[1..],
            &[Activity::Seat(PROVIDER)]
        ]
        .concat()
    );
    let seated = Observed::GameWentOn {
        game: ids[32],
        turn: Turn::Seated,
    };
    node.block(4, vec![seated]);
    assert!(of_games(&node).contains(&Activity::Play(ids[32], 1)));
    // Another challenger has shown that the claim is false: nothing is worth a move any more.
    let turn = Turn::Ended {
        challenger_won: true,
        by_timeout: false,
    };
    node.block(5, vec![Observed::GameWentOn { game: ids[1], turn }]);
    assert_eq!(
        of_games(&node),
        [Activity::Verdict(CLAIM), Activity::Collect(CLAIM)]
    );
}

#[test]
fn a_reorganisation_takes_a_game_and_its_moves_back() {
    let (mut node, deal) = verifier(vec![found_wrong(), Finding::Agreed]);
    let own = game(deal, 0, VERIFIER);
    let id = own.id;
    let began = node.block(2, vec![Observed::GameBegan(own)]);
    let written = |changes: &Changes| {
        let keys = changes.chain.writes().map(|(key, _)| key.clone());
        keys.collect::<Vec<_>>()
    };
    let key = outcry_store::keys::dispute(&id.0);
    assert_eq!(written(&began), std::slice::from_ref(&key));
    assert!(began.local.is_empty(), "nothing that a fork would not undo");
    let before = node.store.get(&key).unwrap().unwrap();
    let moved = node.block(3, vec![section(id, 1)]);
    assert_eq!(written(&moved), std::slice::from_ref(&key));
    // The follower puts back what it overwrote; then the state is read again.
    let mut batch = outcry_store::Batch::new();
    batch.put(key.clone(), before);
    node.store.apply(&batch).unwrap();
    node.state.load(&node.store).unwrap();
    node.state.rewind(3);
    assert!(node.state.wanted().is_empty(), "the chain is read first");
    node.block(3, vec![]);
    assert_eq!(node.state.wanted(), [Activity::Play(id, 0)]);
    let mut batch = outcry_store::Batch::new();
    batch.delete(key);
    node.store.apply(&batch).unwrap();
    node.state.load(&node.store).unwrap();
    node.state.rewind(2);
    node.block(3, vec![]);
    assert_eq!(node.state.wanted(), [Activity::Challenge(deal)]);
}

#[test]
fn a_game_is_forgotten_with_its_deal_and_not_before_it_is_paid_out() {
    let (mut node, deal) = verifier(vec![found_wrong(), Finding::Agreed]);
    let own = game(deal, 0, VERIFIER);
    let id = own.id;
    let challenged = Observed::Changed {
        deal,
        change: Change::Challenged,
    };
    node.block(2, vec![challenged, Observed::GameBegan(own)]);
    let failed = Change::Failed {
        failure: Failure::ClaimRefuted,
        refunded: 1,
        to_buyer: 0,
        burned: 1,
    };
    let verdict = Observed::ClaimDecided {
        claim_hash: CLAIM,
        turn: Turn::Settled {
            stands: false,
            winner: VERIFIER,
            reward: 7,
        },
    };
    node.block(
        3,
        vec![
            Observed::Changed {
                deal,
                change: failed,
            },
            verdict,
        ],
    );
    let late = 700_000;
    node.block(late, vec![]);
    assert!(node.state.prunable(10, 10).is_empty(), "the bond is owed");
    let turn = Turn::Collected {
        to_challenger: 10,
        to_provider: 0,
        burned: 0,
    };
    node.block(late, vec![Observed::GameWentOn { game: id, turn }]);
    let due = node.state.prunable(10, 10);
    assert_eq!((&due.deals, &due.disputes), (&vec![deal], &vec![]));
    node.apply(Fact::Pruned(due));
    let due = node.state.prunable(10, 10);
    assert_eq!(due.disputes, [id]);
    node.apply(Fact::Pruned(due));
    assert!(node.state.disputes.is_empty());
    let left = node.store.get(&outcry_store::keys::dispute(&id.0)).unwrap();
    assert_eq!(left, None);
}
