//! The deployed market with its dispute game: deals are signed, opened, claimed, challenged and paid
//! by transactions.

use std::collections::BTreeMap;

use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_sol_types::{SolCall, SolConstructor, SolEvent};
use outcry_contracts::{Game, Market, Stake, TestToken, Token, machine};
use outcry_protocol::claim::{self, TaskResult};
use outcry_protocol::hash::{Domain, halted_hash, job_hash};
use outcry_protocol::merkle;
use outcry_protocol::money::BURN;
use outcry_protocol::types::{Bid, Claim, Deal, Offer, Resources};
use outcry_verifier::game::{Part, TaskStart};

use crate::audits;
use crate::chain::{BASE_FEE, CHAIN_ID, Chain, Receipt};
use crate::public_chain::{COLLATERAL_FLOOR_WEI, PARAMETERS, gas_of_provider, run_wei};
use crate::subject::{BLAKE3, Subject, TASK, TASKS, input_leaves};

/// The chain's own coin.
const COINS: Address = Address::ZERO;
pub(crate) const DEPLOYER: Address = Address::repeat_byte(0xde);
pub(crate) const CHALLENGER: Address = Address::repeat_byte(0xca);
const FEE_COLLECTOR: Address = Address::repeat_byte(0xfe);
/// Base units of the token and wei that each party has on the market in the beginning.
const DEPOSIT: u128 = 100_000_000_000_000_000_000_000;

const CHALLENGE_WINDOW_S: u32 = 86_400;

/// What everybody has on the market, by name: base units of the token, wei.
pub(crate) type Holdings = BTreeMap<&'static str, [i128; 2]>;

/// A claim that a game is about.
pub(crate) struct Claimed {
    pub(crate) deal: Deal,
    pub(crate) claim: Claim,
    /// Of the disputed task.
    pub(crate) asserted: TaskResult,
    /// Halted states of all tasks.
    pub(crate) halted: Vec<B256>,
}

pub(crate) struct Exchange {
    pub(crate) chain: Chain,
    pub(crate) game: Address,
    pub(crate) audits: Address,
    pub(crate) step_verifier: Address,
    pub(crate) protocol_token: Address,
    pub(crate) stake: Address,
    market: Address,
    token: Address,
    pub(crate) domain: Domain,
    buyer: PrivateKeySigner,
    provider: PrivateKeySigner,
    orders: u64,
}

fn signer(byte: u8) -> PrivateKeySigner {
    PrivateKeySigner::from_bytes(&B256::repeat_byte(byte)).unwrap()
}

pub(crate) fn on_chain(part: &Part, level: u8) -> Game::Part {
    Game::Part {
        index: part.index,
        level,
        before: part.before,
        end: part.end,
        path: part.path,
    }
}

impl Exchange {
    /// Deployed as `outcry_contracts::deploy` does, with money of buyer, provider and challenger.
    pub(crate) fn new() -> Self {
        let (buyer, provider) = (signer(0xb1), signer(0x9a));
        let parties = [buyer.address(), provider.address(), CHALLENGER];
        let accounts = [&parties[..], &[DEPLOYER]].concat();
        let mut chain = Chain::new(&accounts, 1_900_000_000);

        let creation = |bytecode: &Bytes, arguments: Vec<u8>| [&bytecode[..], &arguments].concat();
        let [step_verifier, initial_state] = [machine::step_verifier(), machine::initial_state()]
            .map(|contract| chain.create(DEPLOYER, contract.creation.to_vec()));
        let arguments = TestToken::constructorCall {
            name_: "Test Dollar".to_owned(),
            symbol_: "TUSD".to_owned(),
            decimals_: 6,
        };
        let token = creation(&TestToken::BYTECODE, arguments.abi_encode());
        let token = chain.create(DEPLOYER, token);
        let holder = CHALLENGER;
        let arguments = Token::constructorCall { holder }.abi_encode();
        let protocol_token = chain.create(DEPLOYER, creation(&Token::BYTECODE, arguments));
        // Stake, market, game and audits name each other: the fifth contract of the account and those
        // that follow.
        let [expected, audits] = [6, 7].map(|nonce| DEPLOYER.create(nonce));
        let arguments = Stake::constructorCall {
            token: protocol_token,
            audits,
            unbondingDelay: audits::UNBONDING_S,
        };
        let stake = creation(&Stake::BYTECODE, arguments.abi_encode());
        let stake = chain.create(DEPLOYER, stake);
        let p = Market::Parameters {
            game: expected,
            audits,
            feeCollector: FEE_COLLECTOR,
            admissionWindow: 0,
            challengeWindow: CHALLENGE_WINDOW_S,
            demandWindow: 3600,
            withdrawalDelay: 86_400,
            collateralFloor: COLLATERAL_FLOOR_WEI,
            demandBond: 1,
            admissionFeeBps: 100,
            feeBps: 100,
        };
        let arguments = Market::constructorCall { p }.abi_encode();
        let market = chain.create(DEPLOYER, creation(&Market::BYTECODE, arguments));
        let p = Game::GameParameters {
            market,
            stepVerifier: step_verifier,
            initialState: initial_state,
            audits,
            inclusionDelay: PARAMETERS.inclusion_delay_s,
            interpreterSpeed: PARAMETERS.interpreter_speed,
            gasPriceCap: PARAMETERS.gas_price_cap_wei,
            runPrice: PARAMETERS.run_price_wei,
        };
        let arguments = Game::constructorCall { p }.abi_encode();
        let game = chain.create(DEPLOYER, creation(&Game::BYTECODE, arguments));
        assert_eq!(game, expected);
        let created = audits::deploy(&mut chain, DEPLOYER, market, game, stake);
        assert_eq!(created, audits);

        for account in parties {
            let mint = TestToken::mintCall {
                account,
                amount: U256::from(DEPOSIT),
            };
            chain.send(account, token, &mint).unwrap();
            let approve = TestToken::approveCall {
                spender: market,
                value: U256::from(DEPOSIT),
            };
            chain.send(account, token, &approve).unwrap();
            let amount = U256::from(DEPOSIT);
            let deposit = Market::depositCall { token, amount };
            chain.send(account, market, &deposit).unwrap();
            let native = Market::depositNativeCall {};
            chain.pay(account, market, DEPOSIT, &native).unwrap();
        }
        Self {
            chain,
            game,
            audits,
            step_verifier,
            protocol_token,
            stake,
            market,
            token,
            domain: Domain::new(CHAIN_ID, market),
            buyer,
            provider,
            orders: 0,
        }
    }

    pub(crate) fn provider(&self) -> Address {
        self.provider.address()
    }

    /// What everybody holds, and what the market says that it holds altogether.
    pub(crate) fn holdings(&mut self) -> Holdings {
        let accounts = [
            ("buyer", self.buyer.address()),
            ("provider", self.provider()),
            ("challenger", CHALLENGER),
            ("game", self.game),
            ("fees", FEE_COLLECTOR),
            ("burned", BURN),
        ];
        let (market, tokens) = (self.market, [self.token, COINS]);
        let mut ask = |call| i128::try_from(self.chain.view(DEPLOYER, market, &call)).unwrap();
        accounts
            .into_iter()
            .map(|(name, account)| {
                let held = tokens.map(|token| ask(Market::balanceOfCall { account, token }));
                (name, held)
            })
            .collect()
    }

    pub(crate) fn total_held(&mut self) -> [u128; 2] {
        let market = self.market;
        [self.token, COINS].map(|token| {
            let total = Market::totalHeldCall { token };
            self.chain.view(DEPLOYER, market, &total).to()
        })
    }

    /// A deal over all tasks of the subject's job, from two signed orders.
    pub(crate) fn open(&mut self, subject: &Subject) -> Deal {
        self.open_audited(subject, 0, 0)
    }

    /// The same with an audit rate in basis points and a fee in base units.
    pub(crate) fn open_audited(&mut self, subject: &Subject, rate: u16, fee: u128) -> Deal {
        let now = self.chain.now();
        self.orders += 1;
        let resources = Resources {
            memoryMib: 128,
            diskMib: 1,
            gpuClass: 0,
            gpuCount: 0,
            egressMib: 1,
        };
        let bid = Bid {
            buyer: self.buyer.address(),
            token: self.token,
            jobHash: job_hash(&subject.job),
            tasks: TASKS,
            cyclesExpected: 1_000_000,
            resources: resources.clone(),
            priceCap: 5_000_000,
            valueOfTime: 10,
            regions: U256::from(1),
            attributes: U256::ZERO,
            roundTripMsMax: 0,
            roundTripPlace: B256::ZERO,
            auditRateBps: rate,
            auditFee: fee,
            collateralBps: 30_001,
            replicas: 1,
            queueTimeout: 60,
            executionTimeout: 36_000,
            rankWindow: 0,
            tip: 0,
            expiry: now + 600,
            salt: U256::from(self.orders),
            counter: 0,
        };
        let offer = Offer {
            provider: self.provider(),
            token: self.token,
            capacityId: B256::repeat_byte(0x01),
            slots: 4,
            peerKey: B256::repeat_byte(0x02),
            region: 0,
            attributes: U256::ZERO,
            resources,
            startFee: 10_001,
            cyclePrice: 500_000_000_000,
            memoryPrice: 4_000_000_000,
            diskPrice: 0,
            gpuPrice: 0,
            egressPrice: 0,
            speed: 10_000_000_000,
            collateralMax: u128::MAX,
            machineVersion: subject.job.machineVersion,
            tip: 0,
            expiry: now + 600,
            salt: U256::from(self.orders),
            counter: 0,
        };
        let sign = |signer: &PrivateKeySigner, digest| {
            Bytes::from(signer.sign_hash_sync(&digest).unwrap().as_bytes())
        };
        let call = Market::openCall {
            call: Market::OpenCall {
                bidSignature: sign(&self.buyer, self.domain.bid_hash(&bid)),
                offerSignature: sign(&self.provider, self.domain.offer_hash(&offer)),
                bid: bid.into(),
                offer: offer.into(),
                job: subject.job.clone().into(),
                count: TASKS,
            },
        };
        let sender = self.provider();
        let receipt = self.chain.send(sender, self.market, &call).unwrap();
        let opened = find::<Market::DealOpened>(&receipt).unwrap();
        let deal = Deal::from(opened.deal);
        assert_eq!(self.domain.deal_id(&deal), opened.dealId);
        deal
    }

    /// The provider claims that each task came to this.
    pub(crate) fn claim(&mut self, deal: Deal, asserted: TaskResult) -> Claimed {
        self.chain.wait(12);
        let results = vec![asserted; TASKS as usize];
        let call = Market::claimCall {
            terms: deal.clone().into(),
            tasks: claim::encode_tasks(&results).unwrap().into(),
        };
        let sender = self.provider();
        let receipt = self.chain.send(sender, self.market, &call).unwrap();
        let made = Market::claimCall::abi_decode_returns(&receipt.output).unwrap();
        let claim = claim::compute(&deal, &results).unwrap();
        assert_eq!(Claim::from(made), claim);
        let halted_states = (0..TASKS).map(|task| halted(&deal, task, asserted));
        Claimed {
            halted: halted_states.collect(),
            deal,
            claim,
            asserted,
        }
    }

    /// What a challenge by the halted state `halted` sends.
    pub(crate) fn challenge(
        &self,
        subject: &Subject,
        claimed: &Claimed,
        halted: B256,
    ) -> Game::challengeCall {
        let length = subject.archive.len() as u64;
        let start = TaskStart::of(&subject.program, &mut &subject.archive[..], length).unwrap();
        let call = Game::ChallengeCall {
            deal: claimed.deal.clone().into(),
            claim: claimed.claim.clone().into(),
            job: subject.job.clone().into(),
            claimed: Game::ClaimedTask {
                task: TASK,
                cycles: claimed.asserted.cycles,
                inner: claimed.asserted.inner,
                path: path_of_task(&claimed.halted),
            },
            input: Game::InputOpening {
                blake3: BLAKE3,
                length,
                archive: start.archive,
                path: path_of_task(&input_leaves(&subject.archive)),
            },
            image: start.image.into(),
            memories: start.memories.into_iter().map(Into::into).collect(),
            halted,
            bondMax: U256::MAX,
        };
        Game::challengeCall { call }
    }

    /// A game that the challenger begins about a true claim, and does not go on with.
    pub(crate) fn begin_game(&mut self, subject: &Subject) {
        let end = subject.truth.lock().unwrap().end().unwrap();
        let halted = end.halted.expect("a run that nothing stops halts");
        let truth = TaskResult {
            cycles: halted.cycles,
            inner: halted.outcome.inner(),
        };
        let deal = self.open(subject);
        let claimed = self.claim(deal, truth);
        let call = self.challenge(subject, &claimed, B256::repeat_byte(0xfa));
        let game = self.game;
        self.chain.send(CHALLENGER, game, &call).unwrap();
    }

    /// Wei that a challenge of the provider locks now, by the contract.
    pub(crate) fn bond_for(&mut self, cycle_limit: u64) -> u128 {
        let (game, provider) = (self.game, self.provider());
        let call = Game::bondForCall {
            provider,
            cycleLimit: cycle_limit,
        };
        self.chain.view(DEPLOYER, game, &call).to()
    }

    /// Seconds of each party's clock, by the contract.
    pub(crate) fn clock_of(&mut self, cycle_limit: u64) -> u64 {
        let game = self.game;
        let call = Game::clockOfCall {
            cycleLimit: cycle_limit,
        };
        self.chain.view(DEPLOYER, game, &call).to()
    }

    pub(crate) fn standing(&mut self, key: &Game::GameKey) -> Game::Standing {
        let game = self.game;
        let call = Game::standingCall { key: key.clone() };
        self.chain.view(DEPLOYER, game, &call)
    }

    /// The last move together with the verdict and the payout.
    pub(crate) fn finish(
        &self,
        last: &impl SolCall,
        claimed: &Claimed,
        key: &Game::GameKey,
    ) -> Game::multicallCall {
        let settle = Game::settleCall {
            deal: claimed.deal.clone().into(),
            claim: claimed.claim.clone().into(),
        };
        let collect = Game::collectCall { key: key.clone() };
        Game::multicallCall {
            calls: [last.abi_encode(), settle.abi_encode(), collect.abi_encode()]
                .map(Bytes::from)
                .to_vec(),
        }
    }

    /// The provider takes the price of a claim that stands.
    pub(crate) fn finalise(&mut self, claimed: &Claimed) {
        self.chain.wait(u64::from(CHALLENGE_WINDOW_S) + 1);
        let call = Market::finaliseCall {
            terms: claimed.deal.clone().into(),
            claim_: claimed.claim.clone().into(),
        };
        let sender = self.provider();
        self.chain.send(sender, self.market, &call).unwrap();
    }
}

/// Siblings of the disputed task's leaf.
pub(crate) fn path_of_task(leaves: &[B256]) -> Vec<B256> {
    merkle::proof(leaves, merkle::ceil_log2(TASKS.into()), TASK.into()).unwrap()
}

/// The halted state that a claim of this result asserts.
pub(crate) fn halted(deal: &Deal, task: u32, result: TaskResult) -> B256 {
    halted_hash(deal.jobHash, task, result.cycles, result.inner)
}

/// What a deal with one game changes in the holdings, once it is over, if the claim fell.
pub(crate) fn when_it_falls(deal: &Deal) -> Holdings {
    let (collateral, floor) = (signed(deal.collateral), signed(COLLATERAL_FLOOR_WEI));
    BTreeMap::from([
        ("buyer", [0, 0]),
        ("provider", [-collateral, -floor]),
        ("challenger", [collateral / 2, floor / 2]),
        ("game", [0, 0]),
        ("fees", [0, 0]),
        ("burned", [collateral - collateral / 2, floor - floor / 2]),
    ])
}

/// The same if it stands, of a game with so many sections and this bond.
pub(crate) fn when_it_stands(claimed: &Claimed, made: u8, bond: u128) -> Holdings {
    let (price, bond) = (signed(claimed.claim.price), signed(bond));
    let fee = price / 100;
    let run_fee = match made {
        0 => 0,
        _ => signed(run_wei(claimed.deal.cycleLimit)),
    };
    let to_provider =
        (signed(gas_of_provider(made)) * i128::from(BASE_FEE) + run_fee).min(bond / 2);
    BTreeMap::from([
        ("buyer", [-price, 0]),
        ("provider", [price - fee, to_provider]),
        ("challenger", [0, -bond]),
        ("game", [0, 0]),
        ("fees", [fee, 0]),
        ("burned", [0, bond - to_provider]),
    ])
}

fn signed(amount: impl TryInto<i128, Error: std::fmt::Debug>) -> i128 {
    amount.try_into().unwrap()
}

/// The first event of a kind in a receipt.
pub(crate) fn find<E: SolEvent>(receipt: &Receipt) -> Option<E> {
    let mut logs = receipt.logs.iter();
    logs.find_map(|log| E::decode_log_data(&log.data).ok())
}
