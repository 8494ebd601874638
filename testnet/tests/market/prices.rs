//! Prices that were paid, and what was matched: every node says the same, and so does the chain.

use std::collections::BTreeMap;

use alloy::primitives::{B256, U256};
use alloy::providers::Provider as _;
use outcry_sdk::api::{EpochDigest, EpochsQuery, HistoryQuery, PriceHistory, ValueQuery};
use outcry_sdk::{Node, Terms};
use outcry_testnet::network::Plan;

use crate::fixture::{Fixture, ends, quick, wait_until};

const INTERVALS_S: [u32; 6] = [60, 300, 900, 3_600, 14_400, 86_400];
/// Longer than the chain has been there.
const SINCE: u64 = 1;

/// A deal as the chain's logs tell it.
struct Paid {
    at: u64,
    region: u8,
    class: String,
    cycles: u64,
    paid: u128,
    held_s: u64,
    memory_mib: u64,
}

/// Start, open, high, low, close, deals, cycles, paid.
type Figures = (u64, [U256; 4], u64, U256, U256);

/// The smallest power of two of memory, from 256 MiB on, that holds it; nothing here reserves disk.
fn class_of(memory_mib: u64) -> String {
    let mut mib = 256;
    while mib < memory_mib {
        mib *= 2;
    }
    if mib < 1_024 {
        format!("{mib}m")
    } else {
        format!("{}g", mib / 1_024)
    }
}

/// Every deal that was paid, in the order of the chain, out of its logs and nothing else.
async fn paid_on_chain(market: &Fixture) -> Vec<Paid> {
    let contract = market.market();
    let opened = contract.DealOpened_filter().from_block(0);
    let opened: BTreeMap<B256, u64> = opened
        .query()
        .await
        .unwrap()
        .into_iter()
        .map(|(event, _)| (event.dealId, event.deal.openedAt))
        .collect();
    let mut claimed = BTreeMap::new();
    let claims = contract.DealClaimed_filter().from_block(0);
    for (event, log) in claims.query().await.unwrap() {
        claimed.insert(
            event.dealId,
            time_of(market, log.block_number.unwrap()).await,
        );
    }
    let mut logs = contract
        .DealPaid_filter()
        .from_block(0)
        .query()
        .await
        .unwrap();
    logs.sort_by_key(|(_, log)| (log.block_number, log.log_index));
    let mut deals = Vec::new();
    for (event, log) in logs {
        let bits =
            |shift: usize, mask: u64| (event.resources >> shift & U256::from(mask)).to::<u64>();
        assert_eq!(event.token, market.testnet.payment_token);
        assert_eq!(bits(32, u32::MAX.into()), 0, "disk");
        let memory_mib = bits(0, u32::MAX.into());
        deals.push(Paid {
            at: time_of(market, log.block_number.unwrap()).await,
            region: u8::try_from(bits(128, 255)).unwrap(),
            class: class_of(memory_mib),
            cycles: event.cycles,
            paid: event.paid,
            held_s: claimed[&event.dealId] - opened[&event.dealId],
            memory_mib,
        });
    }
    deals
}

async fn time_of(market: &Fixture, block: u64) -> u64 {
    let block = market
        .chain
        .get_block_by_number(block.into())
        .await
        .unwrap();
    block.unwrap().header.timestamp
}

/// The candles of deals by their definition.
fn candles(deals: &[Paid], interval: u64, wanted: impl Fn(&Paid) -> bool) -> Vec<Figures> {
    let mut groups: BTreeMap<u64, Vec<&Paid>> = BTreeMap::new();
    for deal in deals.iter().filter(|deal| wanted(deal)) {
        groups
            .entry(deal.at / interval * interval)
            .or_default()
            .push(deal);
    }
    let unit = U256::from(10).pow(U256::from(18));
    let price = |deal: &&Paid| U256::from(deal.paid) * unit / U256::from(deal.cycles);
    groups
        .into_iter()
        .map(|(start, group)| {
            let prices: Vec<U256> = group.iter().map(price).collect();
            let ends = [
                prices[0],
                *prices.iter().max().unwrap(),
                *prices.iter().min().unwrap(),
                prices[prices.len() - 1],
            ];
            let cycles = group.iter().map(|deal| U256::from(deal.cycles)).sum();
            let paid = group.iter().map(|deal| U256::from(deal.paid)).sum();
            (start, ends, group.len() as u64, cycles, paid)
        })
        .collect()
}

fn figures(history: &PriceHistory) -> Vec<Figures> {
    let candles = history.candles.iter().map(|candle| {
        let ends = [candle.open.0, candle.high.0, candle.low.0, candle.close.0];
        (
            candle.start,
            ends,
            candle.deals,
            candle.cycles.0,
            candle.paid.0,
        )
    });
    candles.collect()
}

fn node(market: &Fixture, name: &str) -> Node {
    Node::new(market.testnet.api(name).unwrap()).unwrap()
}

/// Waits until a node has read so many deals from the chain, and returns their digest.
async fn digest(node: &Node, deals: u64) -> B256 {
    let query = HistoryQuery::default();
    wait_until("a node knows every deal that was paid", || async {
        let history = node.history(&query).await.ok()?;
        (history.deals == deals).then_some(history.digest)
    })
    .await
}

/// Checks every answer of a node about prices against the chain.
async fn check(node: &Node, deals: &[Paid]) {
    for interval in INTERVALS_S {
        for class in [None, Some("256m"), Some("512m"), Some("2g")] {
            for region in [None, Some(0), Some(1)] {
                let query = HistoryQuery {
                    region,
                    class: class.map(|class| class.parse().unwrap()),
                    interval_s: Some(interval),
                    since: Some(SINCE),
                    limit: Some(1_000),
                    ..HistoryQuery::default()
                };
                let history = node.history(&query).await.unwrap();
                let expected = candles(deals, interval.into(), |deal| {
                    class.is_none_or(|class| class == deal.class)
                        && region.is_none_or(|region| region == deal.region)
                });
                assert_eq!(
                    figures(&history),
                    expected,
                    "{class:?} {region:?} {interval}"
                );
            }
        }
    }
    let query = ValueQuery {
        since: Some(SINCE),
        ..ValueQuery::default()
    };
    let total = node.value(&query).await.unwrap().total;
    let sum = |of: fn(&Paid) -> U256| deals.iter().map(of).sum::<U256>();
    let paid = sum(|deal| U256::from(deal.paid));
    let scale = |zeros: u64| U256::from(10).pow(U256::from(zeros));
    let by_cycle = paid * scale(18) / sum(|deal| U256::from(deal.cycles));
    assert_eq!(total.cycle_price.map(|price| price.0), Some(by_cycle));
    assert_eq!(total.held_s.0, sum(|deal| U256::from(deal.held_s)));
    let held = sum(|deal| U256::from(deal.held_s) * U256::from(deal.memory_mib));
    let by_memory = (!held.is_zero()).then(|| paid * scale(9) * U256::from(1_024 * 3_600) / held);
    assert_eq!(total.gib_hour_price.map(|price| price.0), by_memory);
}

/// The epochs of a node by block and its hash.
async fn epochs(node: &Node) -> BTreeMap<(u64, B256), EpochDigest> {
    let epochs = node
        .epochs(&EpochsQuery::default())
        .await
        .unwrap_or_default();
    let by_block = epochs
        .into_iter()
        .map(|epoch| ((epoch.block.number, epoch.block.hash), epoch));
    by_block.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_has_the_prices_that_the_chain_has_and_matches_alike_whenever_it_joined() {
    let mut market = Fixture::start(|plan| Plan {
        providers: 2,
        verifiers: 2,
        ..plan
    })
    .await;
    let memory = |mib| Terms {
        memory_mib: Some(mib),
        ..quick()
    };
    for (mib, text) in [
        (64, "small"),
        (600, "large"),
        (64, "small again"),
        (300, "medium"),
    ] {
        market.run(ends(&["print", text]), &memory(mib)).await;
    }
    let deals = wait_until("every deal is paid", || async {
        Some(paid_on_chain(&market).await).filter(|deals| deals.len() == 4)
    })
    .await;
    let names = [
        "gateway",
        "provider-0",
        "provider-1",
        "verifier-0",
        "verifier-1",
    ];
    let first = digest(&node(&market, names[0]), 4).await;
    for name in names {
        assert_eq!(digest(&node(&market, name), 4).await, first, "{name}");
        check(&node(&market, name), &deals).await;
    }

    // One node is killed and starts again with what it has, another with nothing.
    for (name, is_new) in [("verifier-0", false), ("verifier-1", true)] {
        market.testnet.kill(name).unwrap();
        if is_new {
            let data = market.testnet.dir.join("nodes").join(name).join("data");
            std::fs::remove_dir_all(data).unwrap();
        }
        market.testnet.restart(name).unwrap();
        market.testnet.wait_until_serving(name).await.unwrap();
        assert_eq!(digest(&node(&market, name), 4).await, first, "{name}");
        check(&node(&market, name), &deals).await;
    }

    // Nobody opens what is matched now, so that it is matched block after block.
    for name in ["provider-0", "provider-1"] {
        market.testnet.kill(name).unwrap();
    }
    let nodes = ["gateway", "verifier-0", "verifier-1"].map(|name| node(&market, name));
    wait_until("the nodes have the same book", || async {
        let seen = [
            epochs(&nodes[0]).await,
            epochs(&nodes[1]).await,
            epochs(&nodes[2]).await,
        ];
        let (_, newest) = seen[0].last_key_value()?;
        let alike = |of: &BTreeMap<_, EpochDigest>| {
            of.values()
                .any(|epoch| epoch.book_digest == newest.book_digest)
        };
        seen.iter().all(alike).then_some(())
    })
    .await;
    let job = market.job(ends(&["print", "never"])).await;
    let bid = market.client.bid(&job, &memory(64), None).await.unwrap();
    market.client.submit(&job, &bid, |_| {}).await.unwrap();
    let (block, epoch) = wait_until("all nodes match the bid at one block", || async {
        let seen = [
            epochs(&nodes[0]).await,
            epochs(&nodes[1]).await,
            epochs(&nodes[2]).await,
        ];
        let matched = seen[0].iter().find(|(block, epoch)| {
            let alike = |of: &BTreeMap<_, EpochDigest>| of.get(*block) == Some(*epoch);
            epoch.matches > 0 && seen.iter().all(alike)
        });
        matched.map(|(block, epoch)| (*block, epoch.clone()))
    })
    .await;
    // With one more live order the book has another name than before.
    for node in &nodes {
        let before = epochs(node).await;
        let before = before
            .values()
            .find(|epoch| epoch.block.number < block.0 && epoch.matches == 0);
        assert_ne!(before.unwrap().book_digest, epoch.book_digest);
    }
}
