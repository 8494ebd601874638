//! Games about claims: what the chain tells of them.
//!
//! A game is its opening and the list of what happened since, so that a reorganisation is undone by
//! dropping the tail; whose turn it is and what is left on the clocks is computed from that list.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256, U256, keccak256};
use alloy::sol_types::SolValue;
use outcry_protocol::book::FactKey;
use outcry_protocol::hash;
use outcry_sdk::api::DealState;
use outcry_verifier::game::{Challenge, Clocks, Game, Party, ReplayError, SEATS, Standing};
use serde::{Deserialize, Serialize};

use super::chain::{Event, Observed};
use super::deal::{DealRecord, Place};
use super::provider::tasks_of;
use super::verifier::Finding;
use super::{Activity, Changes, State, journal};

/// Games that stay; beyond, the oldest that are over are forgotten before their time. Each costs its
/// challenger a bond that doubles with the games that run.
const DISPUTES_MAX: usize = 4096;

/// Names a game.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GameKey {
    /// The claim.
    pub claim_hash: B256,
    /// Index of the challenged task in the job.
    pub task: u32,
    /// Who challenges.
    pub challenger: Address,
    /// Zero: about the state in which the task halts. Otherwise about the state at an auditor's point, of
    /// so many cycles.
    pub until: u64,
}

impl GameKey {
    /// `keccak256(abi.encode(GameKey))`, as in `contracts/src/interfaces/IGame.sol`.
    #[must_use]
    pub fn id(&self) -> B256 {
        let until = U256::from(self.until);
        keccak256(
            (
                self.claim_hash,
                U256::from(self.task),
                self.challenger,
                until,
            )
                .abi_encode(),
        )
    }
}

/// One thing that happened in a game.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Turn {
    /// It began.
    Challenged {
        /// Whether the game has a seat.
        seated: bool,
    },
    /// The mover named a part of the opponent's list and asserted 16 parts of it.
    Sectioned {
        /// Which part.
        part: u8,
        /// State hashes at the ends of its 16 parts.
        ends: Vec<B256>,
    },
    /// The game has a seat: the provider's clock stands still no longer.
    Seated,
    /// It ended.
    Ended {
        /// Who won.
        challenger_won: bool,
        /// Because the loser's clock ran out; else the winner proved a step.
        by_timeout: bool,
    },
    /// The market has the verdict on the claim.
    Settled {
        /// Whether the claim stands.
        stands: bool,
        /// The challenger that is rewarded; zero if there is none.
        winner: Address,
        /// Base units of the deal's token.
        reward: u128,
    },
    /// The bond was paid out, in wei.
    Collected {
        /// To the challenger, with the gas that it is owed.
        to_challenger: u128,
        /// To the provider.
        to_provider: u128,
        /// Burned.
        burned: u128,
    },
}

/// A game as the chain tells it. The first turn is always [`Turn::Challenged`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DisputeRecord {
    /// Hash of the key.
    pub id: B256,
    /// The deal whose claim is challenged.
    pub deal: B256,
    /// The key.
    pub key: GameKey,
    /// Whose claim it is.
    pub provider: Address,
    /// State in which the task starts.
    pub initial: B256,
    /// Halted state that the provider claims.
    pub asserted: B256,
    /// Halted state that the challenger asserts.
    pub halted: B256,
    /// Sections of the whole game.
    pub sections: u8,
    /// Seconds on each clock at the beginning.
    pub clock_s: u32,
    /// Wei that the challenger locked.
    pub bond: u128,
    /// What happened, in the order of the chain.
    pub history: Vec<(Place, Turn)>,
}

impl DisputeRecord {
    /// Where it began; the order of a provider's games.
    #[must_use]
    pub fn began(&self) -> Place {
        self.history.first().map_or(
            Place {
                block: 0,
                at: 0,
                log_index: 0,
                transaction: B256::ZERO,
            },
            |(place, _)| *place,
        )
    }

    /// The second of the last turn.
    #[must_use]
    pub fn last_at(&self) -> u64 {
        self.history.last().map_or(0, |(place, _)| place.at)
    }

    /// Transaction of the last section, or of the challenge.
    #[must_use]
    pub fn last_move(&self) -> B256 {
        let is_move =
            |turn: &Turn| matches!(turn, Turn::Challenged { .. } | Turn::Sectioned { .. });
        let mut latest = self.history.iter().rev();
        let last = latest.find(|(_, turn)| is_move(turn));
        last.map_or(B256::ZERO, |(place, _)| place.transaction)
    }

    /// Sections made so far by both sides together.
    #[must_use]
    pub fn moves(&self) -> u8 {
        let sections = |(_, turn): &&(Place, Turn)| matches!(turn, Turn::Sectioned { .. });
        self.history.iter().filter(sections).count() as u8
    }

    /// Whether the challenger won, once the game has ended.
    #[must_use]
    pub fn won(&self) -> Option<bool> {
        self.history.iter().find_map(|(_, turn)| match turn {
            Turn::Ended { challenger_won, .. } => Some(*challenger_won),
            _ => None,
        })
    }

    /// Whether the claim stands, once the market has the verdict.
    #[must_use]
    pub fn stands(&self) -> Option<bool> {
        self.history.iter().find_map(|(_, turn)| match turn {
            Turn::Settled { stands, .. } => Some(*stands),
            _ => None,
        })
    }

    /// Whether the bond was paid out.
    #[must_use]
    pub fn is_collected(&self) -> bool {
        let collected = |(_, turn): &(Place, Turn)| matches!(turn, Turn::Collected { .. });
        self.history.iter().any(collected)
    }

    /// Whether moves still count: neither it nor the claim is decided.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.won().is_none() && self.stands().is_none()
    }

    /// Which side an account is on.
    #[must_use]
    pub fn side(&self, account: Address) -> Option<Party> {
        if account == self.key.challenger {
            Some(Party::Challenger)
        } else if account == self.provider {
            Some(Party::Provider)
        } else {
            None
        }
    }

    /// The game that the chain's events make.
    ///
    /// # Errors
    /// They are not one game's: the contract emits no such list.
    pub fn game(&self) -> Result<Game, ReplayError> {
        let challenge = Challenge {
            initial: self.initial,
            asserted: self.asserted,
            halted: self.halted,
            sections: self.sections,
        };
        let sections = self.history.iter().filter_map(|(_, turn)| match turn {
            Turn::Sectioned { part, ends } => Some((*part, ends.as_slice())),
            _ => None,
        });
        let mut game = Game::replayed(challenge, sections)?;
        match self.won() {
            Some(true) => game.end(Party::Challenger),
            Some(false) => game.end(Party::Provider),
            None => {}
        }
        Ok(game)
    }

    /// Who moves next, as long as the game runs.
    #[must_use]
    pub fn mover(&self) -> Party {
        if self.moves().is_multiple_of(2) {
            Party::Challenger
        } else {
            Party::Provider
        }
    }

    /// The clocks as of the last move.
    #[must_use]
    pub fn clocks(&self) -> Clocks {
        let mut clocks = Clocks::begun(self.clock_s, self.began().at);
        let mut mover = Party::Challenger;
        for (place, turn) in &self.history {
            match turn {
                Turn::Challenged { seated: true } | Turn::Seated => {
                    clocks = clocks.takes_seat(mover, place.at);
                }
                Turn::Sectioned { .. } => {
                    clocks = clocks.moved(mover, place.at);
                    mover = mover.other();
                }
                Turn::Challenged { seated: false }
                | Turn::Ended { .. }
                | Turn::Settled { .. }
                | Turn::Collected { .. } => {}
            }
        }
        clocks
    }

    /// Whether one of the provider's seats is taken by it: from when it got one until it ends, or is
    /// paid out because the claim fell otherwise. The verdict alone gives nothing back.
    #[must_use]
    pub fn holds_seat(&self) -> bool {
        self.clocks().seated && self.won().is_none() && !self.is_collected()
    }

    /// How the mover stands in a block of this timestamp, as long as the game runs.
    #[must_use]
    pub fn standing(&self, now: u64) -> Standing {
        self.clocks().standing(self.mover(), now)
    }

    /// Whether a party has something to send about the game now: a move of its own, or the end of a
    /// game that its opponent let pass. A provider is in no hurry while its clock stands still.
    fn wants_move(&self, me: Party, now: u64) -> bool {
        match self.standing(now) {
            Standing::Overdue { mover } => mover != me,
            Standing::Running { mover, .. } => mover == me && self.clocks().runs(mover, now),
        }
    }

    /// Whether a party has nothing to do and nothing to get any more.
    fn is_over(&self, me: Party) -> bool {
        self.is_collected() || (self.stands().is_some() && !self.owes(me))
    }

    /// Whether a payout waits for a party: a fallen claim's challengers get their bonds back, and a
    /// provider gets its share of a lost one.
    fn owes(&self, me: Party) -> bool {
        !self.is_collected()
            && match me {
                Party::Challenger => self.won() != Some(false) && self.stands() == Some(false),
                Party::Provider => self.won() == Some(false),
            }
    }
}

/// Everybody's games, by id and by claim.
#[derive(Debug, Clone, Default)]
pub struct Games {
    by_id: BTreeMap<B256, DisputeRecord>,
    by_claim: BTreeMap<B256, BTreeSet<B256>>,
}

impl Games {
    /// One game.
    #[must_use]
    pub fn get(&self, id: &B256) -> Option<&DisputeRecord> {
        self.by_id.get(id)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &DisputeRecord> {
        self.by_id.values()
    }

    /// Those about a claim.
    pub fn about(&self, claim_hash: B256) -> impl Iterator<Item = &DisputeRecord> {
        let ids = self.by_claim.get(&claim_hash).into_iter().flatten();
        ids.filter_map(|id| self.by_id.get(id))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    pub(super) fn insert(&mut self, record: DisputeRecord) {
        let of_claim = self.by_claim.entry(record.key.claim_hash).or_default();
        of_claim.insert(record.id);
        self.by_id.insert(record.id, record);
    }

    pub(super) fn remove(&mut self, id: &B256) {
        let Some(record) = self.by_id.remove(id) else {
            return;
        };
        let claim = record.key.claim_hash;
        if let Some(of_claim) = self.by_claim.get_mut(&claim) {
            of_claim.remove(id);
            if of_claim.is_empty() {
                self.by_claim.remove(&claim);
            }
        }
    }
}

/// Whether the market waits for a verdict that can be given, from all games about one claim.
fn is_decided(games: &[&DisputeRecord]) -> bool {
    let unsettled = |game: &&DisputeRecord| game.won().is_some() && game.stands().is_none();
    games.iter().any(unsettled)
        && (has_fallen(games) || games.iter().all(|game| game.won().is_some()))
}

/// Whether a challenger has won a game about a claim, from all of them.
fn has_fallen(games: &[&DisputeRecord]) -> bool {
    games
        .iter()
        .any(|game| game.won() == Some(true) || game.stands() == Some(false))
}

/// A task whose claim is false, as far as this node found, and that can be challenged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mismatch {
    /// Index of the task in the job.
    pub task: u32,
    /// The halted state that this node found.
    pub halted: B256,
}

impl State {
    /// All games about a claim.
    #[must_use]
    pub fn games_about(&self, claim_hash: B256) -> Vec<&DisputeRecord> {
        self.disputes.about(claim_hash).collect()
    }

    /// Whether a game about the claim was won by its challenger.
    #[must_use]
    pub fn claim_fell(&self, claim_hash: B256) -> bool {
        has_fallen(&self.games_about(claim_hash))
    }

    /// Games of this node's account, with its side, the oldest first.
    #[must_use]
    pub fn own_games(&self) -> Vec<(&DisputeRecord, Party)> {
        let Some(me) = self.setup.account else {
            return Vec::new();
        };
        let own = self.disputes.iter();
        let mut own: Vec<_> = own
            .filter_map(|game| Some((game, game.side(me)?)))
            .collect();
        own.sort_by_key(|(game, _)| (game.began().block, game.id));
        own
    }

    /// Games that this node started and that run, and the wei of bonds in them.
    #[must_use]
    pub fn at_risk(&self) -> (usize, u128) {
        let own = self.own_games().into_iter();
        own.filter(|(game, side)| *side == Party::Challenger && game.is_running())
            .fold((0, 0), |(games, bonds), (game, _)| {
                (games + 1, bonds + game.bond)
            })
    }

    /// The first task of a claim that this node found to be false, as long as it can be challenged
    /// and was not challenged from here.
    #[must_use]
    pub fn challengeable(&self, deal: &DealRecord) -> Option<Mismatch> {
        let me = self.setup.account?;
        let checked = self.checked(deal)?;
        if !checked.findings.iter().any(Finding::is_mismatch) {
            return None;
        }
        let claim = deal.claim()?;
        let can_fall = matches!(
            deal.state(),
            DealState::Claimed | DealState::Accepted | DealState::Challenged
        );
        let in_time = self.head.at < claim.window_from + self.windows.challenge_s;
        if !can_fall || !in_time {
            return None;
        }
        let games = self.games_about(claim.hash);
        let is_own = |game: &&DisputeRecord| game.key.challenger == me && game.key.until == 0;
        if games.iter().any(is_own) || has_fallen(&games) {
            return None;
        }
        let mut found = tasks_of(deal).zip(&checked.findings);
        found.find_map(|(task, finding)| match finding {
            Finding::Mismatched { cycles, outcome } => Some(Mismatch {
                task,
                halted: hash::halted_hash(deal.terms.jobHash, task, *cycles, outcome.inner()),
            }),
            Finding::Agreed | Finding::Unavailable => None,
        })
    }

    /// What this node wants to happen about games.
    pub(super) fn wanted_of_games(&self) -> Vec<Activity> {
        let now = self.head.at;
        let own = self.own_games();
        let blocked = self.blocked(&own);
        let mut claims: BTreeSet<B256> = own.iter().map(|(game, _)| game.key.claim_hash).collect();
        let in_the_way =
            |game: &&DisputeRecord| blocked.contains(&game.provider) && game.holds_seat();
        let in_the_way: Vec<&DisputeRecord> = self.disputes.iter().filter(in_the_way).collect();
        claims.extend(in_the_way.iter().map(|game| game.key.claim_hash));
        let mut wanted = Vec::new();
        let mut fallen = BTreeSet::new();
        for claim in claims {
            let games = self.games_about(claim);
            if has_fallen(&games) {
                fallen.insert(claim);
            }
            if is_decided(&games) {
                wanted.push(Activity::Verdict(claim));
            }
            if !self.collectable_beside(claim, &blocked).is_empty() {
                wanted.push(Activity::Collect(claim));
            }
        }
        let running: Vec<_> = own
            .iter()
            .filter(|(game, _)| game.is_running() && !fallen.contains(&game.key.claim_hash))
            .collect();
        let movable = running
            .iter()
            .filter(|(game, side)| game.wants_move(*side, now) && !self.is_lost(game, *side));
        wanted.extend(movable.map(|(game, _)| Activity::Play(game.id, game.moves())));
        wanted.extend(self.ends_of_others(&in_the_way, &fallen));
        let waiting = running.iter().filter(|(game, _)| !game.clocks().seated);
        let providers: BTreeSet<Address> = waiting.map(|(game, _)| game.provider).collect();
        let free = providers
            .into_iter()
            .filter(|provider| !blocked.contains(provider));
        wanted.extend(free.map(Activity::Seat));
        wanted.extend(self.wanted_challenges());
        wanted
    }

    /// Claims to be challenged, those whose window ends first before the others.
    fn wanted_challenges(&self) -> Vec<Activity> {
        let left = self.setup.games_max.saturating_sub(self.at_risk().0);
        if left == 0 {
            return Vec::new();
        }
        let found = self.verifications.findings.keys();
        let found = found.filter_map(|id| self.deals.get(id));
        let mut wanted: Vec<(u64, B256)> = found
            .filter(|deal| self.challengeable(deal).is_some())
            .filter_map(|deal| Some((deal.claim()?.window_from, deal.id)))
            .collect();
        wanted.sort_unstable();
        let first = wanted.into_iter().take(left);
        first.map(|(_, deal)| Activity::Challenge(deal)).collect()
    }

    /// Providers all of whose seats are taken while games of this node's account, from `own`, wait
    /// for one. Who lies gains time when accomplices take its seats and then let their clocks run out:
    /// nobody but those that wait has a reason to end such games.
    fn blocked(&self, own: &[(&DisputeRecord, Party)]) -> BTreeSet<Address> {
        let waiting = own.iter().filter(|(game, _)| {
            game.is_running() && !game.clocks().seated && !self.claim_fell(game.key.claim_hash)
        });
        let mut taken: BTreeMap<Address, usize> =
            waiting.map(|(game, _)| (game.provider, 0)).collect();
        if taken.is_empty() {
            return BTreeSet::new();
        }
        for game in self.disputes.iter() {
            if let Some(count) = taken.get_mut(&game.provider)
                && game.holds_seat()
            {
                *count += 1;
            }
        }
        let full = taken.into_iter().filter(|(_, count)| *count >= SEATS);
        full.map(|(provider, _)| provider).collect()
    }

    /// Ends of overdue games that others play, of those in the way of own ones. Where the provider of a
    /// claim is late, one such game is enough: the claim falls with it.
    fn ends_of_others(
        &self,
        in_the_way: &[&DisputeRecord],
        fallen: &BTreeSet<B256>,
    ) -> Vec<Activity> {
        let mut refuted: BTreeMap<B256, Activity> = BTreeMap::new();
        let mut refused = Vec::new();
        for game in in_the_way {
            let claim = game.key.claim_hash;
            let is_own = self.setup.account.is_some_and(|me| game.side(me).is_some());
            if is_own || fallen.contains(&claim) {
                continue;
            }
            if let Standing::Overdue { mover } = game.standing(self.head.at) {
                let end = Activity::EndOverdue(game.id);
                match mover {
                    Party::Provider => drop(refuted.entry(claim).or_insert(end)),
                    Party::Challenger => refused.push((claim, end)),
                }
            }
        }
        refused.retain(|(claim, _)| !refuted.contains_key(claim));
        let refused = refused.into_iter().map(|(_, end)| end);
        refuted.into_values().chain(refused).collect()
    }

    /// Whether it is this node's turn in a game and it found no move.
    fn is_lost(&self, game: &DisputeRecord, side: Party) -> bool {
        game.mover() == side && self.without_move.contains(&(game.id, game.last_move()))
    }

    /// Games about a claim to be paid out: own ones, and those of others that keep seats for which own
    /// games wait.
    #[must_use]
    pub fn collectable(&self, claim_hash: B256) -> Vec<GameKey> {
        self.collectable_beside(claim_hash, &self.blocked(&self.own_games()))
    }

    fn collectable_beside(&self, claim_hash: B256, blocked: &BTreeSet<Address>) -> Vec<GameKey> {
        let Some(me) = self.setup.account else {
            return Vec::new();
        };
        let keeps_seat = |game: &DisputeRecord| {
            blocked.contains(&game.provider) && game.holds_seat() && game.stands() == Some(false)
        };
        self.disputes
            .about(claim_hash)
            .filter(|game| game.side(me).is_some_and(|side| game.owes(side)) || keeps_seat(game))
            .map(|game| game.key)
            .collect()
    }

    /// Tasks that own games which still run are about, by the hash of their job, each with the point that
    /// is disputed.
    #[must_use]
    pub fn tasks_in_dispute(&self) -> BTreeSet<(B256, u32, u64)> {
        let own = self.own_games().into_iter();
        let running = own.filter(|(game, side)| {
            game.is_running() && !self.claim_fell(game.key.claim_hash) && !self.is_lost(game, *side)
        });
        running
            .filter_map(|(game, _)| {
                let deal = self.deals.get(&game.deal)?;
                Some((deal.terms.jobHash, game.key.task, game.key.until))
            })
            .collect()
    }

    /// Deals of games whose payouts wait for this node: what a payout names is needed until then.
    pub(super) fn deals_owing(&self) -> BTreeSet<B256> {
        let own = self.own_games().into_iter();
        own.filter(|(game, side)| !game.is_over(*side))
            .map(|(game, _)| game.deal)
            .collect()
    }

    /// Balances that an event of a game touches: bonds, payouts and rewards.
    pub(super) fn touched_by_game(&self, event: &Event) -> Vec<FactKey> {
        let coins = |game: &DisputeRecord| {
            [game.key.challenger, game.provider].map(|party| FactKey::Balance(party, Address::ZERO))
        };
        match &event.observed {
            Observed::GameBegan(game) => coins(game).into(),
            Observed::GameWentOn { game, .. } => self
                .disputes
                .get(game)
                .map(coins)
                .into_iter()
                .flatten()
                .collect(),
            Observed::ClaimDecided { claim_hash, .. } => {
                let games = self.games_about(*claim_hash).into_iter();
                let rewards = games.flat_map(|game| {
                    let token = self.deals.get(&game.deal).map(|deal| deal.terms.token);
                    let reward = token.map(|token| FactKey::Balance(game.key.challenger, token));
                    coins(game).into_iter().chain(reward)
                });
                rewards.collect()
            }
            _ => Vec::new(),
        }
    }

    /// A game began.
    pub(super) fn game_began(&mut self, record: DisputeRecord, changes: &mut Changes) {
        let own = self.setup.account.and_then(|me| record.side(me));
        if let Some(side) = own {
            tracing::info!(
                game = %record.id, deal = %record.deal, task = record.key.task, ?side,
                challenger = %record.key.challenger, sections = record.sections,
                clock_s = record.clock_s, bond_wei = record.bond, "a claim is challenged"
            );
        }
        journal::put_dispute(&mut changes.chain, &record);
        self.disputes.insert(record);
    }

    /// Something happened in a game.
    pub(super) fn game_went_on(
        &mut self,
        game: B256,
        place: Place,
        turn: Turn,
        changes: &mut Changes,
    ) {
        let me = self.setup.account;
        let Some(record) = self.disputes.by_id.get_mut(&game) else {
            // It was forgotten, or it began before this node's first block.
            tracing::debug!(%game, "an event about a game that is not known");
            return;
        };
        if let Some(side) = me.and_then(|me| record.side(me)) {
            match &turn {
                Turn::Sectioned { part, .. } => {
                    tracing::info!(%game, part, by = ?record.mover(), section = record.moves() + 1, of = record.sections, "a section was made");
                }
                Turn::Ended {
                    challenger_won,
                    by_timeout,
                } => {
                    let won = *challenger_won == (side == Party::Challenger);
                    tracing::info!(%game, ?side, won, by_timeout, "a game has ended");
                }
                Turn::Settled { stands, reward, .. } => {
                    tracing::info!(%game, claim = %record.key.claim_hash, stands, reward, "a claim is decided");
                }
                Turn::Collected {
                    to_challenger,
                    to_provider,
                    burned,
                } => {
                    tracing::info!(%game, to_challenger, to_provider, burned, "a game is paid out");
                }
                Turn::Challenged { .. } | Turn::Seated => {}
            }
        }
        record.history.push((place, turn));
        journal::put_dispute(&mut changes.chain, record);
    }

    /// The market has the verdict on a claim: it is noted with every game that is without one.
    pub(super) fn claim_decided(
        &mut self,
        claim_hash: B256,
        place: Place,
        turn: &Turn,
        changes: &mut Changes,
    ) {
        let games = self.games_about(claim_hash).into_iter();
        let open: Vec<B256> = games
            .filter(|game| game.stands().is_none())
            .map(|game| game.id)
            .collect();
        for game in open {
            self.game_went_on(game, place, turn.clone(), changes);
        }
    }

    /// Games that need not be kept: their deal is forgotten, or there are too many and they are over.
    #[must_use]
    pub(super) fn prunable_disputes(&self, max: usize) -> Vec<B256> {
        self.disputes_beyond(DISPUTES_MAX, max)
    }

    pub(super) fn disputes_beyond(&self, kept: usize, max: usize) -> Vec<B256> {
        let is_over = |game: &DisputeRecord| {
            let side = self.setup.account.and_then(|me| game.side(me));
            match side {
                Some(side) => game.is_over(side),
                // Of others' games the verdict counts, and the seat that own games may wait for.
                None => game.stands().is_some() && !game.holds_seat(),
            }
        };
        let mut over: Vec<(u64, B256)> = self
            .disputes
            .iter()
            .filter(|game| is_over(game))
            .map(|game| (game.last_at(), game.id))
            .collect();
        over.sort_unstable();
        let too_many = self.disputes.len().saturating_sub(kept);
        let is_orphan = |id: &B256| {
            let game = self.disputes.get(id);
            game.is_some_and(|game| !self.deals.contains_key(&game.deal))
        };
        (0..)
            .zip(over)
            .filter(|(index, (_, id))| *index < too_many || is_orphan(id))
            .map(|(_, (_, id))| id)
            .take(max)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::state::example;
    use outcry_verifier::game::rules::PARTS;

    const CHALLENGER: Address = Address::repeat_byte(0xc4);
    const BEGAN: u64 = 1000;
    const CLOCK_S: u32 = 50;

    fn place(at: u64) -> Place {
        Place {
            block: at,
            at,
            log_index: 0,
            transaction: B256::repeat_byte(at as u8),
        }
    }

    fn began(seated: bool) -> DisputeRecord {
        let key = GameKey {
            claim_hash: B256::repeat_byte(0xcc),
            task: 1,
            challenger: CHALLENGER,
            until: 0,
        };
        DisputeRecord {
            id: key.id(),
            deal: B256::repeat_byte(0xdd),
            key,
            provider: example::PROVIDER,
            initial: B256::repeat_byte(1),
            asserted: B256::repeat_byte(2),
            halted: B256::repeat_byte(3),
            sections: 4,
            clock_s: CLOCK_S,
            bond: 10,
            history: vec![(place(BEGAN), Turn::Challenged { seated })],
        }
    }

    /// A section that disputes the first part of the list before.
    fn section(by: u8) -> Turn {
        Turn::Sectioned {
            part: 0,
            ends: (0..PARTS as u8)
                .map(|end| B256::with_last_byte(16 * by + end))
                .collect(),
        }
    }

    fn left(game: &DisputeRecord, now: u64) -> Option<u32> {
        match game.standing(now) {
            Standing::Running { left, .. } => Some(left),
            Standing::Overdue { .. } => None,
        }
    }

    #[test]
    fn each_party_has_one_clock_that_runs_on_its_turn_alone() {
        let mut game = began(true);
        assert_eq!(game.mover(), Party::Challenger);
        assert_eq!(left(&game, BEGAN + 50), Some(0));
        assert_eq!(left(&game, BEGAN + 51), None);
        game.history.push((place(BEGAN + 20), section(1)));
        assert_eq!(game.mover(), Party::Provider);
        assert_eq!(left(&game, BEGAN + 20), Some(50));
        game.history.push((place(BEGAN + 60), section(2)));
        assert_eq!(left(&game, BEGAN + 60), Some(30), "20 of 50 are spent");
        game.history.push((place(BEGAN + 90), section(3)));
        assert_eq!(left(&game, BEGAN + 100), Some(0), "40 of 50 are spent");
        assert_eq!(left(&game, BEGAN + 101), None);
    }

    #[test]
    fn a_providers_clock_stands_still_until_the_game_has_a_seat_or_has_waited_for_long() {
        let mut game = began(false);
        game.history.push((place(BEGAN + 10), section(1)));
        assert_eq!(left(&game, BEGAN + 150), Some(CLOCK_S));
        assert!(
            !game.wants_move(Party::Provider, BEGAN + 150),
            "it is in no hurry"
        );
        // It waits for four clocks at most.
        assert!(game.wants_move(Party::Provider, BEGAN + 210));
        assert_eq!(left(&game, BEGAN + 230), Some(30));
        game.history.push((place(BEGAN + 160), Turn::Seated));
        assert!(game.wants_move(Party::Provider, BEGAN + 160));
        assert_eq!(left(&game, BEGAN + 190), Some(20));
        // A seat that comes in the challenger's turn leaves the challenger's clock alone.
        let mut game = began(false);
        game.history.push((place(BEGAN + 40), Turn::Seated));
        assert_eq!(left(&game, BEGAN + 40), Some(10));
    }

    #[test]
    fn a_party_wants_its_own_moves_and_the_end_of_what_the_other_let_pass() {
        let mut game = began(true);
        assert!(game.wants_move(Party::Challenger, BEGAN + 50));
        assert!(!game.wants_move(Party::Provider, BEGAN + 50));
        assert!(
            !game.wants_move(Party::Challenger, BEGAN + 51),
            "nothing is left to win"
        );
        assert!(game.wants_move(Party::Provider, BEGAN + 51));
        game.history.push((place(BEGAN + 1), section(1)));
        assert!(!game.wants_move(Party::Challenger, BEGAN + 51));
        assert!(game.wants_move(Party::Challenger, BEGAN + 52));
    }

    #[test]
    fn the_events_replay_to_the_game_that_the_rules_know() {
        let mut game = began(true);
        let ended = |challenger_won| Turn::Ended {
            challenger_won,
            by_timeout: true,
        };
        assert_eq!(game.game().unwrap().part_steps(), 1 << 16);
        game.history.push((place(BEGAN + 1), section(1)));
        game.history.push((place(BEGAN + 2), Turn::Seated));
        game.history.push((place(BEGAN + 3), section(2)));
        let replayed = game.game().unwrap();
        assert_eq!(replayed.sections_made(), game.moves());
        assert_eq!(replayed.turn(), game.mover());
        assert_eq!(replayed.list().ends[0], B256::with_last_byte(32));
        game.history.push((place(BEGAN + 4), ended(false)));
        assert_eq!(game.game().unwrap().winner(), Some(Party::Provider));
        assert!(!game.is_running());
        // A section that is not the contract's is not silently taken for one.
        game.history[1].1 = Turn::Sectioned {
            part: 0,
            ends: vec![B256::ZERO; 15],
        };
        game.game().unwrap_err();
    }

    #[test]
    fn a_verdict_waits_until_a_challenger_has_won_or_all_have_lost() {
        let ended = |mut game: DisputeRecord, challenger_won| {
            let turn = Turn::Ended {
                challenger_won,
                by_timeout: false,
            };
            game.history.push((place(BEGAN + 5), turn));
            game
        };
        let settled = |mut game: DisputeRecord, stands| {
            let turn = Turn::Settled {
                stands,
                winner: CHALLENGER,
                reward: 1,
            };
            game.history.push((place(BEGAN + 6), turn));
            game
        };
        let (running, lost, won) = (
            began(true),
            ended(began(true), false),
            ended(began(true), true),
        );
        assert!(!is_decided(&[&running]));
        assert!(!is_decided(&[&running, &lost]));
        assert!(is_decided(&[&lost, &lost]));
        assert!(is_decided(&[&running, &lost, &won]));
        assert!(has_fallen(&[&running, &won]) && !has_fallen(&[&running, &lost]));
        let (fell, stood) = (settled(won.clone(), false), settled(lost.clone(), true));
        assert!(!is_decided(&[&fell, &settled(running.clone(), false)]));
        assert!(!is_decided(&[&stood, &running]));
        assert!(
            is_decided(&[&stood, &lost]),
            "a later challenge of the same claim"
        );

        assert!(!won.owes(Party::Challenger), "the market has not paid yet");
        assert!(fell.owes(Party::Challenger) && !fell.owes(Party::Provider));
        assert!(settled(running, false).owes(Party::Challenger));
        assert!(lost.owes(Party::Provider) && !lost.owes(Party::Challenger));
        let mut paid = lost;
        let turn = Turn::Collected {
            to_challenger: 0,
            to_provider: 4,
            burned: 6,
        };
        paid.history.push((place(BEGAN + 7), turn));
        assert!(!paid.owes(Party::Provider));
    }
}
