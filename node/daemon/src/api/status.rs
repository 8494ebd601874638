//! The node itself: what it is, which accounts it sees, what its roles are doing.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy::primitives::Address;
use axum::Json;
use axum::extract::State;
use outcry_protocol::book::{Book, Fact as BookFact, FactKey};
use outcry_sdk::api::{
    Account, Amount, Balance, DealState, Earnings, ErrorBody, NetworkInfo, NodeStatus,
    ProviderState, ProviderStatus, Role as ApiRole,
};

use super::error::ApiError;
use super::{Segment, prices};
use crate::admission::OrderProblem;
use crate::config::Role;
use crate::node::Node;
use crate::state::Fact;
use crate::state::deal::Change;

/// The machine version that this build runs.
pub(super) const MACHINE_VERSION: u32 = outcry_protocol::limits::MACHINE_VERSION_MAX;

/// What the node is and where it stands.
#[utoipa::path(get, path = "/v1/status", tag = "node", responses((status = 200, body = NodeStatus)))]
pub(super) async fn status(State(node): State<Arc<Node>>) -> Result<Json<NodeStatus>, ApiError> {
    let peers = node
        .fetcher
        .net
        .peers()
        .await
        .map_or(0, |peers| peers.len());
    let (head, epoch) = node.read(|state| (state.head, state.epochs.last().copied()));
    let net = &node.fetcher.net;
    Ok(Json(NodeStatus {
        chain_id: node.network.chain_id,
        market: node.network.market,
        stake: node.network.stake,
        token: node.network.token,
        machine_version: MACHINE_VERSION,
        block: prices::block_ref(head),
        epoch: epoch.map(|epoch| prices::epoch(&epoch, net.shards())),
        shard_count: net.sharding().shards(),
        shards: net.shards(),
        peer_key: node.peer_key,
        peers: u32::try_from(peers).unwrap_or(u32::MAX),
        roles: node
            .config
            .roles
            .iter()
            .map(|role| role_of(*role))
            .collect(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }))
}

fn role_of(role: Role) -> ApiRole {
    match role {
        Role::Provider => ApiRole::Provider,
        Role::Verifier => ApiRole::Verifier,
        Role::Gateway => ApiRole::Gateway,
    }
}

/// What a client must know to take part.
#[utoipa::path(get, path = "/v1/network", tag = "node", responses((status = 200, body = NetworkInfo)))]
pub(super) async fn network(State(node): State<Arc<Node>>) -> Json<NetworkInfo> {
    let parameters = &node.parameters;
    let own = node
        .fetcher
        .net
        .addresses()
        .into_iter()
        .map(|address| address.to_string());
    Json(NetworkInfo {
        chain_id: node.network.chain_id,
        market: node.network.market,
        stake: node.network.stake,
        token: node.network.token,
        machine_version: MACHINE_VERSION,
        admission_window_s: parameters.admissionWindow.into(),
        challenge_window_s: parameters.challengeWindow.into(),
        withdrawal_delay_s: parameters.withdrawalDelay.into(),
        admission_fee_bps: parameters.admissionFeeBps,
        fee_bps: parameters.feeBps,
        collateral_floor: parameters.collateralFloor.into(),
        shard_count: node.network.shards.shards(),
        tokens: node.network.tokens.clone(),
        bootstrap: own.chain(node.network.bootstrap.iter().cloned()).collect(),
    })
}

/// An account's balances on the market.
#[utoipa::path(
    get, path = "/v1/accounts/{address}", tag = "node", params(("address" = String, Path)),
    responses((status = 200, body = Account), (status = 400, body = ErrorBody))
)]
pub(super) async fn account(
    State(node): State<Arc<Node>>,
    Segment(address): Segment<Address>,
) -> Result<Json<Account>, ApiError> {
    let block = node.read(|state| state.head.number);
    let mut tokens: Vec<Address> = node
        .network
        .tokens
        .iter()
        .map(|token| token.address)
        .collect();
    tokens.push(Address::ZERO);
    tokens.sort_unstable();
    tokens.dedup();
    let mut keys = vec![FactKey::Counter(address)];
    keys.extend(tokens.iter().map(|token| FactKey::Balance(address, *token)));
    let facts = node
        .chain
        .facts(keys, block)
        .await
        .map_err(OrderProblem::from)?;
    let mut counter_now = 0;
    let mut balances = Vec::new();
    for fact in facts {
        match fact {
            BookFact::Counter { counter, .. } => counter_now = counter,
            BookFact::Balance { token, free, .. } => {
                let pending = node
                    .chain
                    .pending_withdrawal(address, token)
                    .await
                    .map_err(OrderProblem::from)?;
                let committed = node.read(|state| {
                    let bids = state.book.live_bids().filter(|(_, signed, _)| {
                        signed.bid.buyer == address && signed.bid.token == token
                    });
                    bids.map(|(_, signed, _)| Book::commitment(&signed.bid))
                        .fold(0, u128::saturating_add)
                });
                balances.push(Balance {
                    token: node.network.token_at(token),
                    available: free.into(),
                    committed: committed.into(),
                    withdrawing: pending.0.into(),
                    withdrawable_at: pending.1,
                });
            }
            _ => {}
        }
    }
    Ok(Json(Account {
        address,
        counter: counter_now,
        balances,
    }))
}

/// What the node offers and earns.
#[utoipa::path(get, path = "/v1/provider", tag = "provider", responses((status = 200, body = ProviderStatus), (status = 404, body = ErrorBody)))]
pub(super) async fn provider(
    State(node): State<Arc<Node>>,
) -> Result<Json<ProviderStatus>, ApiError> {
    provider_status(&node)
        .map(Json)
        .ok_or_else(|| ApiError::not_my_role("provider"))
}

/// Stops offering; running deals are finished.
#[utoipa::path(post, path = "/v1/provider/drain", tag = "provider", responses((status = 200, body = ProviderStatus), (status = 404, body = ErrorBody)))]
pub(super) async fn drain(State(node): State<Arc<Node>>) -> Result<Json<ProviderStatus>, ApiError> {
    if !node.config.is(Role::Provider) {
        return Err(ApiError::not_my_role("provider"));
    }
    node.core
        .apply(Fact::Drain(true))
        .await
        .map_err(ApiError::internal)?;
    provider(State(node)).await
}

fn provider_status(node: &Node) -> Option<ProviderStatus> {
    let problem = super::health::waits_for(node);
    node.read(|state| {
        let capacity = state.setup.capacity.as_ref()?;
        let mine = || {
            state
                .deals
                .values()
                .filter(|deal| deal.terms.provider == capacity.provider)
        };
        let busy = capacity.slots.saturating_sub(state.slots_free());
        let mut earnings: BTreeMap<Address, Earnings> = BTreeMap::new();
        for deal in mine() {
            let entry = earnings
                .entry(deal.terms.token)
                .or_insert_with(|| Earnings {
                    token: node.network.token_at(deal.terms.token),
                    paid: Amount::ZERO,
                    pending: Amount::ZERO,
                    locked: Amount::ZERO,
                    slashed: Amount::ZERO,
                });
            let add =
                |to: &mut Amount, more: u128| to.0 = to.0.saturating_add(Amount::from(more).0);
            let (paid, fee) = deal.paid();
            add(&mut entry.paid, paid.saturating_sub(fee));
            if !deal.state().is_terminal() {
                add(&mut entry.locked, deal.terms.collateral);
                if let (Some(claim), false) = (deal.claim(), deal.is_paid()) {
                    add(&mut entry.pending, claim.claim.price);
                }
            }
            for (_, change) in &deal.history {
                if let Change::Failed {
                    to_buyer, burned, ..
                } = change
                {
                    add(&mut entry.slashed, to_buyer.saturating_add(*burned));
                }
            }
        }
        let count =
            |wanted: fn(DealState) -> bool| mine().filter(|deal| wanted(deal.state())).count();
        let deals_open = u32::try_from(count(|state| !state.is_terminal())).unwrap_or(u32::MAX);
        Some(ProviderStatus {
            address: capacity.provider,
            state: match (state.is_draining, deals_open, &problem) {
                (true, 0, _) => ProviderState::Drained,
                (true, _, _) => ProviderState::Draining,
                (false, _, Some(_)) => ProviderState::Blocked,
                (false, _, None) => ProviderState::Offering,
            },
            problem: problem.map(|message| ErrorBody {
                code: outcry_protocol::codes::NET_NOT_READY.id.to_owned(),
                message,
                help: outcry_protocol::codes::NET_NOT_READY.help.to_owned(),
            }),
            slots: capacity.slots,
            slots_busy: busy,
            speed: capacity.speed,
            offers: state
                .book
                .live_offers()
                .filter(|(_, signed)| signed.offer.provider == capacity.provider)
                .map(|(hash, _)| *hash)
                .collect(),
            deals_open,
            deals_settled: count(|state| state == DealState::Settled) as u64,
            deals_failed: count(|state| matches!(state, DealState::TimedOut | DealState::Slashed))
                as u64,
            earnings: earnings.into_values().collect(),
        })
    })
}
