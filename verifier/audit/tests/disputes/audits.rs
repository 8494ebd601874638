//! The audits of an exchange: their contract, the challenger's seat, and the beacon.

use std::num::{NonZeroU32, NonZeroU64};

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolConstructor;
use outcry_contracts::{Audits, Game, Stake, StepVerifier, Token};
use outcry_protocol::hash;
use outcry_verifier::audit::Clocks;

use crate::chain::{Chain, Reverted};
use crate::market::{CHALLENGER, Claimed, DEPLOYER, Exchange, path_of_task};
use crate::subject::TASK;

const BEACON_PERIOD_S: u32 = 3600;
const COMMIT_TIME_S: u32 = 21_600;
pub(crate) const UNBONDING_S: u32 = 120 * 86_400;
/// Base units of the protocol's token.
pub(crate) const STAKE_PER_AUDIT: u128 = 1_000_000_000_000_000_000_000;

/// The contract, which has one auditor for each claim, and the game's clocks.
pub(crate) fn deploy(
    chain: &mut Chain,
    deployer: Address,
    market: Address,
    game: Address,
    stake: Address,
) -> Address {
    let clocks = chain.view(deployer, game, &Game::parametersCall {});
    let p = Audits::AuditParameters {
        market,
        game,
        stake,
        beaconPeriod: BEACON_PERIOD_S,
        auditors: 1,
        commitTime: COMMIT_TIME_S,
        inclusionDelay: clocks.inclusionDelay,
        interpreterSpeed: clocks.interpreterSpeed,
        stakePerAudit: STAKE_PER_AUDIT,
        silencePenalty: STAKE_PER_AUDIT / 10,
    };
    let arguments = Audits::constructorCall { p }.abi_encode();
    chain.create(deployer, [&Audits::BYTECODE[..], &arguments].concat())
}

impl Exchange {
    /// As the contract says.
    pub(crate) fn audit_clocks(&mut self) -> Clocks {
        let audits = self.audits;
        let p = self
            .chain
            .view(DEPLOYER, audits, &Audits::parametersCall {});
        Clocks {
            beacon_period: NonZeroU32::new(p.beaconPeriod).unwrap(),
            commit_time: p.commitTime,
            inclusion_delay: p.inclusionDelay,
            interpreter_speed: NonZeroU64::new(p.interpreterSpeed).unwrap(),
        }
    }

    /// The challenger audits from now on, with a stake for so many audits that it loses.
    pub(crate) fn take_seat(&mut self, lost_max: u128) {
        let amount = U256::from(lost_max * STAKE_PER_AUDIT);
        let (token, stake, audits) = (self.protocol_token, self.stake, self.audits);
        let approve = Token::approveCall {
            spender: stake,
            value: amount,
        };
        self.chain.send(CHALLENGER, token, &approve).unwrap();
        let call = Stake::stakeCall { amount };
        self.chain.send(CHALLENGER, stake, &call).unwrap();
        let call = Audits::joinCall { capacity: u8::MAX };
        self.chain.send(CHALLENGER, audits, &call).unwrap();
        // Its first draws are the period's after the next.
        self.chain.wait(2 * u64::from(BEACON_PERIOD_S));
    }

    pub(crate) fn staked(&mut self) -> u128 {
        let call = Stake::stakeOfCall {
            account: CHALLENGER,
        };
        self.chain.view(DEPLOYER, self.stake, &call).to()
    }

    /// The beacon that draws claims of this second, once it can be known.
    pub(crate) fn beacon(&mut self, claimed_at: u64) -> B256 {
        let period = U256::from(self.audit_clocks().period_of(claimed_at));
        let audits = self.audits;
        self.chain.wait(BEACON_PERIOD_S.into());
        let call = Audits::beatCall { period };
        self.chain.send(CHALLENGER, audits, &call).unwrap();
        self.chain.wait(12);
        self.chain.wait(12);
        self.chain.send(CHALLENGER, audits, &call).unwrap();
        let call = Audits::beaconOfCall { period };
        self.chain.view(DEPLOYER, audits, &call).hash
    }

    pub(crate) fn claim_hash(&self, claimed: &Claimed) -> B256 {
        let claim = &claimed.claim;
        let deal_id = self.domain.deal_id(&claimed.deal);
        hash::claim_hash(deal_id, claim.resultRoot, claim.cycles, claim.price)
    }

    /// The state that the step verifier says follows.
    pub(crate) fn transition_until(
        &mut self,
        before: B256,
        proof: &[u8],
        until: u64,
    ) -> Result<B256, Reverted> {
        let call = StepVerifier::transitionUntilCall {
            before,
            proof: proof.to_vec().into(),
            until,
        };
        self.chain.ask(DEPLOYER, self.step_verifier, &call)
    }

    /// The disputed task, for its audit.
    pub(crate) fn audited(&self, claimed: &Claimed) -> Audits::ClaimedTask {
        Audits::ClaimedTask {
            task: TASK,
            cycles: claimed.asserted.cycles,
            inner: claimed.asserted.inner,
            path: path_of_task(&claimed.halted),
        }
    }
}
