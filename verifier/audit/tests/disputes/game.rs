//! One dispute by transactions: who is right plays as the product does, the other one cheats. Both
//! see nothing but the contract's events and its `standing`.

use std::num::NonZeroU64;
use std::time::Instant;

use alloy_primitives::{Address, B256};
use alloy_sol_types::SolCall;
use outcry_contracts::Game as Contract;
use outcry_protocol::claim::TaskResult;
use outcry_verifier::game::{Challenge, Clocks, Decision, Game, Move, Party, View, sections};

use crate::chain::{BASE_FEE, Receipt, Reverted};
use crate::cheats::{Lie, Player, Shared, Told};
use crate::market::{self, CHALLENGER, Claimed, Exchange, find, on_chain};
use crate::programs::Random;
use crate::public_chain;
use crate::subject::{Subject, TASK};

/// Seconds that a move takes at most.
const MOVE_S: u64 = 600;

/// How somebody cheats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Cheat {
    /// The run is true up to the halt, which has another output.
    WrongOutput,
    /// The run is true up to the halt, which bills other cycles.
    WrongCycles,
    /// Every state is another one from this step on, which is not the first.
    WrongFrom(u64),
    /// The run halts before its time.
    HaltsEarly,
    /// The run goes on after its end.
    HaltsLate,
    /// Asserts something false and makes no move.
    Silent,
    /// Is wrong from some step on, and makes no move after so many.
    Stalls(u64),
    /// Another state at every question, and proofs of nothing.
    Inconsistent,
    /// Disputes parts at random and asserts anything, also what is true.
    Gambles,
}

impl Cheat {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::WrongOutput => "wrong output",
            Self::WrongCycles => "wrong cycles",
            Self::WrongFrom(_) => "wrong from a step on",
            Self::HaltsEarly => "halts early",
            Self::HaltsLate => "halts late",
            Self::Silent => "silent",
            Self::Stalls(_) => "stalls",
            Self::Inconsistent => "inconsistent",
            Self::Gambles => "gambles",
        }
    }

    /// What the cheat says that the task came to. A claim names hashes, which need be of nothing.
    fn result(self, truth: TaskResult, limit: u64, random: &mut Random) -> TaskResult {
        let TaskResult { cycles, inner } = truth;
        match self {
            Self::WrongCycles => TaskResult {
                cycles: cycles + 1 + random.below(limit - cycles),
                inner,
            },
            Self::HaltsEarly => TaskResult {
                cycles: random.below(cycles),
                inner,
            },
            _ => TaskResult {
                cycles,
                inner: random.hash(),
            },
        }
    }

    fn lie(self, steps: u64, halted: B256, random: &mut Random) -> Lie {
        let somewhere = 1 + random.below(steps);
        match self {
            Self::WrongOutput | Self::WrongCycles => Lie::Halted(halted),
            Self::WrongFrom(step) => Lie::StateFrom(step),
            Self::HaltsEarly => Lie::EarlyHalt(somewhere, halted),
            Self::HaltsLate => Lie::LateHalt(steps + somewhere, halted),
            Self::Silent | Self::Stalls(_) => Lie::StateFrom(somewhere),
            Self::Inconsistent | Self::Gambles => Lie::Inconsistent,
        }
    }
}

/// Who cheats and how.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) cheat: Cheat,
    pub(crate) honest: Party,
    pub(crate) seed: u64,
}

/// Gas of the transactions of a game.
#[derive(Default)]
pub(crate) struct Gas {
    pub(crate) challenge: u64,
    pub(crate) sections: Vec<u64>,
    /// The last move with verdict and payout.
    pub(crate) finish: u64,
    /// All of the challenger's, all of the provider's.
    pub(crate) spent: [u64; 2],
}

/// A game that is over.
pub(crate) struct Played {
    pub(crate) sections: u8,
    pub(crate) by_timeout: bool,
    /// What the step was that was proven; `None` in the middle if the machine had halted.
    pub(crate) proven: Option<Option<&'static str>>,
    /// Why the contract refused a move of the cheat.
    pub(crate) refused: Option<String>,
    pub(crate) gas: Gas,
    pub(crate) seconds: f64,
}

/// Opens a deal, claims it, disputes the claim and settles it; panics unless who is right wins, and
/// everybody has in the end what is due to him.
pub(crate) fn dispute(exchange: &mut Exchange, subject: &Subject, plan: &Plan) -> Played {
    let started = Instant::now();
    let mut random = Random(plan.seed);
    let end = subject.truth.lock().unwrap().end().unwrap();
    let limit = subject.job.cycleLimit;
    let true_end = end.halted.unwrap();
    let true_one = TaskResult {
        cycles: true_end.cycles,
        inner: true_end.outcome.inner(),
    };
    let false_one = plan.cheat.result(true_one, limit, &mut random);
    let (held, total) = (exchange.holdings(), exchange.total_held());

    let deal = exchange.open(subject);
    let false_hash = market::halted(&deal, TASK, false_one);
    let (claim, halted) = match plan.honest {
        Party::Challenger => (false_one, end.hash),
        Party::Provider => (true_one, false_hash),
    };
    let claimed = exchange.claim(deal, claim);
    let mut trace = Told::told(
        &subject.truth,
        plan.cheat.lie(end.steps, false_hash, &mut random),
    );
    trace.random = Random(random.next());
    let cheat = Player {
        trace,
        moves_left: match plan.cheat {
            Cheat::Silent => 0,
            Cheat::Stalls(moves) => moves,
            _ => u64::MAX,
        },
        gambles: (plan.cheat == Cheat::Gambles).then(|| Random(random.next())),
    };
    let honest = Player::honest(&subject.truth);
    let players = match plan.honest {
        Party::Challenger => [honest, cheat],
        Party::Provider => [cheat, honest],
    };
    let call = exchange.challenge(subject, &claimed, halted);
    let mut played = Table {
        exchange,
        subject,
        truth: &subject.truth,
        claimed: &claimed,
        plan,
        players,
        random,
    }
    .play(&call, market::halted(&claimed.deal, TASK, claim), halted);
    played.seconds = started.elapsed().as_secs_f64();

    // Who was right has been refunded all of its gas, and everybody has what the rules say.
    let made = played.sections;
    let [of_challenger, of_provider] = played.gas.spent;
    let expected = match plan.honest {
        Party::Challenger => {
            assert!(
                of_challenger <= public_chain::gas_of_challenger(made),
                "{of_challenger} gas"
            );
            market::when_it_falls(&claimed.deal)
        }
        Party::Provider => {
            assert!(
                of_provider <= public_chain::gas_of_provider(made),
                "{of_provider} gas"
            );
            exchange.finalise(&claimed);
            market::when_it_stands(&claimed, made, public_chain::bond_wei(limit, 0))
        }
    };
    let mut change = exchange.holdings();
    for (at, total) in total.into_iter().enumerate() {
        // No deal is open: everything is somebody's.
        let sum: i128 = change.values().map(|held| held[at]).sum();
        assert_eq!(u128::try_from(sum), Ok(total));
    }
    for (name, now) in &mut change {
        for (now, before) in now.iter_mut().zip(held[name]) {
            *now -= before;
        }
    }
    assert_eq!(change, expected, "{plan:?}");
    assert_eq!(exchange.total_held(), total);
    if plan.honest == Party::Challenger {
        let refund = change["challenger"][1];
        assert!(refund > i128::from(of_challenger) * i128::from(BASE_FEE));
    }
    played
}

/// What the parties of a game about a point assert.
pub(crate) struct Contest<'a> {
    /// Up to the point.
    pub(crate) truth: &'a Shared,
    pub(crate) lie: Lie,
    /// By the provider, by the auditor.
    pub(crate) asserted: [B256; 2],
}

/// A game about the state at an auditor's point; panics unless who is right wins.
pub(crate) fn dispute_answer(
    exchange: &mut Exchange,
    subject: &Subject,
    claimed: &Claimed,
    plan: &Plan,
    contest: Contest<'_>,
) -> Played {
    let Contest {
        truth,
        lie,
        asserted,
    } = contest;
    let mut random = Random(plan.seed);
    let cheat = Player {
        trace: Told {
            truth: truth.clone(),
            lie,
            random: Random(random.next()),
        },
        moves_left: u64::MAX,
        gambles: None,
    };
    let honest = Player::honest(truth);
    let players = match plan.honest {
        Party::Challenger => [honest, cheat],
        Party::Provider => [cheat, honest],
    };
    // Of the claimed task nothing counts but its index.
    let call = Contract::challengeAnswerCall {
        call: exchange.challenge(subject, claimed, B256::ZERO).call,
    };
    let [provider, auditor] = asserted;
    Table {
        exchange,
        subject,
        truth,
        claimed,
        plan,
        players,
        random,
    }
    .play(&call, provider, auditor)
}

/// A game in play.
struct Table<'a> {
    exchange: &'a mut Exchange,
    subject: &'a Subject,
    truth: &'a Shared,
    claimed: &'a Claimed,
    plan: &'a Plan,
    /// Challenger, provider.
    players: [Player; 2],
    random: Random,
}

/// The game as its events tell it.
struct Replay {
    key: Contract::GameKey,
    game: Game,
}

impl Table<'_> {
    fn address(&self, party: Party) -> Address {
        match party {
            Party::Challenger => CHALLENGER,
            Party::Provider => self.exchange.provider(),
        }
    }

    fn player(&mut self, party: Party) -> &mut Player {
        &mut self.players[party as usize]
    }

    fn send(
        &mut self,
        party: Party,
        call: &impl SolCall,
        gas: &mut Gas,
    ) -> Result<Receipt, Reverted> {
        let (from, to) = (self.address(party), self.exchange.game);
        let sent = self.exchange.chain.send(from, to, call);
        gas.spent[party as usize] += match &sent {
            Ok(receipt) => receipt.gas,
            Err(reverted) => reverted.gas,
        };
        sent
    }

    /// From the challenge, in which the provider asserts one last state and the challenger another, to
    /// the payout.
    fn play(mut self, challenge: &impl SolCall, asserted: B256, halted: B256) -> Played {
        let mut gas = Gas::default();
        self.pass();
        let receipt = self.send(Party::Challenger, challenge, &mut gas).unwrap();
        gas.challenge = receipt.gas;
        let mut replay = self.begin(&find(&receipt).unwrap(), asserted, halted);
        let (mut by_timeout, mut proven, mut refused) = (false, None, None);
        while replay.game.winner().is_none() {
            self.pass();
            let mover = replay.game.turn();
            let decision = self.decide(&replay, mover);
            let Decision::Move(found) = decision else {
                assert_ne!(mover, self.plan.honest, "who is right does {decision:?}");
                by_timeout = true;
                self.let_time_run_out(&mut replay, &mut gas);
                break;
            };
            let step = replay.game.offset();
            match self.make(&mut replay, mover, &found, &mut gas) {
                Ok(()) if mover == self.plan.honest => {
                    if let Move::Prove { part, .. } = found {
                        proven = Some(
                            self.subject
                                .family_at(self.truth, step + u64::from(part.index)),
                        );
                    }
                }
                Ok(()) => {}
                Err(reverted) => {
                    assert_ne!(mover, self.plan.honest, "{reverted:?} for {found:?}");
                    refused = Some(reverted.error);
                    self.player(mover).moves_left = 0;
                }
            }
        }
        assert_eq!(
            replay.game.winner(),
            Some(self.plan.honest),
            "{:?}",
            self.plan
        );
        let standing = self.exchange.standing(&replay.key);
        let won = self.plan.honest == Party::Challenger;
        // GameStatus: Refused, Won.
        assert_eq!(standing.status, if won { 3 } else { 2 });
        assert_eq!((standing.bond, standing.claimFell), (0, won));
        let made = replay.game.sections_made();
        assert!(made <= sections(self.subject.job.cycleLimit));
        assert!(proven.is_some() != by_timeout);
        Played {
            sections: made,
            by_timeout,
            proven,
            refused,
            gas,
            seconds: 0.0,
        }
    }

    /// A while passes until a transaction is in a block.
    fn pass(&mut self) {
        let seconds = 1 + self.random.below(MOVE_S);
        self.exchange.chain.wait(seconds);
    }

    fn begin(&mut self, event: &Contract::Challenged, asserted: B256, halted: B256) -> Replay {
        let limit = self.subject.job.cycleLimit;
        assert_eq!((event.asserted, event.halted), (asserted, halted));
        assert_eq!(event.sections, sections(limit));
        assert_eq!(u64::from(event.clock), public_chain::clock_s(limit));
        assert_eq!(event.bond, public_chain::bond_wei(limit, 0));
        assert!(event.seated);
        let challenge = Challenge {
            initial: event.initial,
            asserted: event.asserted,
            halted: event.halted,
            sections: event.sections,
        };
        Replay {
            key: event.key.clone(),
            game: Game::begin(challenge)
                .unwrap()
                .until(NonZeroU64::new(event.key.until)),
        }
    }

    /// What a party does that looks at the chain now.
    fn decide(&mut self, replay: &Replay, me: Party) -> Decision {
        let now = self.exchange.chain.now();
        let standing = self.exchange.standing(&replay.key);
        let game = &replay.game;
        assert_eq!(standing.root, game.list().root());
        assert_eq!(standing.sectionsLeft, game.sections_left());
        assert_eq!(standing.challengersTurn, game.turn() == Party::Challenger);
        let clocks = Clocks::seen(
            now,
            standing.challengerLeft,
            standing.providerLeft,
            standing.overdue,
        );
        let view = View {
            game,
            clocks,
            claim_fell: standing.claimFell,
            me,
        };
        self.player(me).decide(&view, now)
    }

    /// Sends a move and replays what the contract made of it.
    fn make(
        &mut self,
        replay: &mut Replay,
        mover: Party,
        found: &Move,
        gas: &mut Gas,
    ) -> Result<(), Reverted> {
        let key = replay.key.clone();
        match found {
            Move::Section { part, ends } => {
                let (part, ends) = (on_chain(part, replay.game.sections_left()), **ends);
                let call = Contract::sectionCall { key, part, ends };
                let receipt = self.send(mover, &call, gas)?;
                gas.sections.push(receipt.gas);
                let event: Contract::Sectioned = find(&receipt).unwrap();
                let part = replay.game.list().part(event.part).unwrap();
                replay.game.section(mover, &part, &event.ends).unwrap();
            }
            Move::Prove { part, .. } => {
                let proof = found.proof_bytes();
                let mut agreed = replay.game.clone();
                let here = agreed.prove(mover, part, &proof);
                let (part, proof) = (on_chain(part, 0), proof.into());
                let call = Contract::proveCall { key, part, proof };
                let ended = self.end(replay, mover, &call, gas);
                // The rules in Rust take just the proofs that the contract takes.
                assert_eq!(here.is_ok(), ended.is_ok(), "{here:?}, {ended:?}");
                ended?;
            }
            Move::Timeout => {
                let call = Contract::timeoutCall { key };
                self.end(replay, mover, &call, gas)?;
            }
        }
        Ok(())
    }

    fn end(
        &mut self,
        replay: &mut Replay,
        mover: Party,
        last: &impl SolCall,
        gas: &mut Gas,
    ) -> Result<(), Reverted> {
        let call = self.exchange.finish(last, self.claimed, &replay.key);
        let receipt = self.send(mover, &call, gas)?;
        gas.finish = receipt.gas;
        let event: Contract::Ended = find(&receipt).unwrap();
        replay.game.end(match event.challengerWon {
            true => Party::Challenger,
            false => Party::Provider,
        });
        Ok(())
    }

    /// The cheat makes no move: who is right ends the game, and not a second too early.
    fn let_time_run_out(&mut self, replay: &mut Replay, gas: &mut Gas) {
        let honest = self.plan.honest;
        let standing = self.exchange.standing(&replay.key);
        let left = match replay.game.turn() {
            Party::Challenger => standing.challengerLeft,
            Party::Provider => standing.providerLeft,
        };
        self.exchange.chain.wait(left.into());
        assert_eq!(self.decide(replay, honest), Decision::Wait);
        let key = replay.key.clone();
        let early = self.send(honest, &Contract::timeoutCall { key }, &mut Gas::default());
        let error = early.err().map(|reverted| reverted.error);
        assert_eq!(error.as_deref(), Some("ClockNotRunOut"));
        self.exchange.chain.wait(1);
        assert_eq!(self.decide(replay, honest), Decision::Move(Move::Timeout));
        self.make(replay, honest, &Move::Timeout, gas).unwrap();
    }
}
