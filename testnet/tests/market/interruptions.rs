//! Who is right wins although its node is killed between any two moves, and although forks take moves
//! back. Blocks come by hand, so that every moment at which that can happen is one of the test's.

use std::fs;

use alloy::network::EthereumWallet;
use alloy::primitives::{Address, B256, U256};
use alloy::providers::{Provider as _, ProviderBuilder};
use alloy::sol_types::SolEvent as _;
use outcry_contracts::Game;
use outcry_sdk::api::{DealState, DealView, Dispute, GameState};
use outcry_sdk::{JobBuilder, Limits, Terms};
use outcry_testnet::cheat::Kind;
use outcry_testnet::deployment::Windows;
use outcry_testnet::process::Process;
use tokio::net::TcpStream;

use crate::blocks::{Blocks, Sent};
use crate::disputes::{game_by, network, terms};
use crate::fixture::{self, Fixture, program, wait_until};

/// Nobody runs out of time but who is silent, for whom the chain's clock is turned forward.
const WINDOWS: Windows = Windows {
    challenge_s: 300,
    inclusion_s: 300,
    ..fixture::WINDOWS
};
/// A game about so many cycles has ten sections: the challenger makes the last move.
const TEN_SECTIONS: u64 = 1_000_000_000;
/// A game about so many cycles has eleven sections: the provider makes the last move.
const ELEVEN_SECTIONS: u64 = 1_100_000_000;
/// Blocks that a fork takes back.
const FORK: u64 = 5;

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_challenger_wins_although_it_is_killed_between_any_two_moves() {
    let mut market = network(WINDOWS, 2, 1, |node| match node {
        "provider-0" => Some(Kind::WrongStateAtRandomStep),
        "provider-1" => Some(Kind::Silent),
        _ => None,
    })
    .await;
    let honest = "verifier-0";
    let (_, deal, blocks) = claimed(&market, 0, TEN_SECTIONS).await;
    // While it looks at the claim.
    restart(&mut market, honest);
    blocks.mine().await;
    play_with_kills(&mut market, &blocks, honest).await;
    let game = paid_out(&market, &deal, market.account(honest)).await;
    assert_eq!(game.state, GameState::ChallengerWon);
    assert_eq!(game.by_timeout, Some(false), "the last step is proved");
    assert_eq!(game.sections_made, 10);
    blocks.release().await;

    let (_, deal, blocks) = claimed(&market, 1, TEN_SECTIONS).await;
    for kind in ["challenge", "section"] {
        blocks.wait_for(kind, |sent| sent.kind == kind).await;
        blocks.mine().await;
    }
    let silent = "provider-1";
    let game = game_by(
        &market,
        deal.deal_id,
        market.account(honest),
        "a section is made",
        |game| game.sections_made == 1,
    )
    .await;
    end_by_somebody_else(&mut market, &blocks, &game, [honest, silent]).await;
    settle_with_kills(&mut market, &blocks, honest).await;
    let game = paid_out(&market, &deal, market.account(honest)).await;
    assert_eq!(game.state, GameState::ChallengerWon);
    assert_eq!(game.by_timeout, Some(true));
    blocks.release().await;
    market.check_conservation().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_provider_wins_although_it_is_killed_between_any_two_moves() {
    let mut market = network(WINDOWS, 1, 2, |node| match node {
        "verifier-0" => Some(Kind::WrongStateAtRandomStep),
        "verifier-1" => Some(Kind::Silent),
        _ => None,
    })
    .await;
    let honest = "provider-0";
    let (id, deal, blocks) = claimed(&market, 0, ELEVEN_SECTIONS).await;
    play_with_kills(&mut market, &blocks, honest).await;
    let game = paid_out(&market, &deal, market.account("verifier-0")).await;
    assert_eq!(game.state, GameState::ProviderWon);
    assert_eq!(game.by_timeout, Some(false), "the last step is proved");
    assert_eq!(game.sections_made, 11);

    let silent = "verifier-1";
    let challenger = market.account(silent);
    let begun = |game: &Dispute| game.mover.is_some();
    let game = game_by(&market, deal.deal_id, challenger, "it begins", begun).await;
    end_by_somebody_else(&mut market, &blocks, &game, [honest, silent]).await;
    settle_with_kills(&mut market, &blocks, honest).await;
    let game = paid_out(&market, &deal, challenger).await;
    assert_eq!(game.state, GameState::ProviderWon);
    assert_eq!(game.by_timeout, Some(true));
    blocks.release().await;
    is_paid(&market, id).await;
    market.check_conservation().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_challenger_wins_although_forks_take_every_move_back() {
    let market = network(WINDOWS, 1, 1, |node| {
        (node == "provider-0").then_some(Kind::WrongStateAtRandomStep)
    })
    .await;
    let (_, deal, blocks) = claimed(&market, 0, TEN_SECTIONS).await;
    let moves = play_with_forks(&market, &blocks, blocks.head().await).await;
    assert_eq!(moves, 12, "the challenge, ten sections and a proof");
    let game = paid_out(&market, &deal, market.account("verifier-0")).await;
    assert_eq!(game.state, GameState::ChallengerWon);
    assert_eq!(game.by_timeout, Some(false), "the last step is proved");
    blocks.release().await;
    market.check_conservation().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_provider_wins_although_forks_take_its_claim_and_every_move_back() {
    let market = network(WINDOWS, 1, 1, |node| {
        (node == "verifier-0").then_some(Kind::WrongStateAtRandomStep)
    })
    .await;
    let (id, deal, blocks) = claimed(&market, 0, ELEVEN_SECTIONS).await;
    let opened = deal.transactions[0].block;
    let moves = play_with_forks(&market, &blocks, opened).await;
    assert_eq!(moves, 13, "the challenge, eleven sections and a proof");
    let game = paid_out(&market, &deal, market.account("verifier-0")).await;
    assert_eq!(game.state, GameState::ProviderWon);
    assert_eq!(game.by_timeout, Some(false), "the last step is proved");
    blocks.wait(WINDOWS.challenge_s.into()).await;
    blocks.release().await;
    is_paid(&market, id).await;
    market.check_conservation().await;
}

/// Plays the first game that is begun to its end. The honest party is killed whenever a block has come:
/// after an own move at once, after the opponent's while it interprets the task, and a third time while
/// its transaction waits for a block.
async fn play_with_kills(market: &mut Fixture, blocks: &Blocks, honest: &str) {
    let account = market.account(honest);
    let (mut own_moves, mut interrupted) = (0, 0);
    loop {
        let sent = blocks.next().await;
        let own = sent.from == account;
        if own {
            kill_who_has_sent(market, blocks, honest, &sent, own_moves).await;
            own_moves += 1;
        } else {
            blocks.mine().await;
        }
        if sent.kind.ends_with("collect") {
            restart(market, honest);
            assert!(interrupted > 0, "it was never killed while it interpreted");
            return;
        }
        if own != (sent.kind == "challenge") {
            restart(market, honest);
            continue;
        }
        // Its own move is next, and nothing that it interpreted before is there any more.
        let process = market.testnet.process(honest).unwrap().clone();
        let moved = || blocks.find(|sent| sent.from == account);
        wait_until("the task is interpreted", || async {
            (interprets(&process) || moved().await.is_some()).then_some(())
        })
        .await;
        if moved().await.is_none() {
            restart(market, honest);
            interrupted += 1;
            // A node acts on the first block that it sees.
            blocks.mine().await;
        }
    }
}

/// Kills a node that has sent a transaction, which by turns is mined after the node is back, is mined
/// while it is away, or is lost.
async fn kill_who_has_sent(
    market: &mut Fixture,
    blocks: &Blocks,
    node: &str,
    sent: &Sent,
    turn: usize,
) {
    market.testnet.kill(node).unwrap();
    match turn % 3 {
        0 => {
            market.testnet.restart(node).unwrap();
            let api = market.testnet.api(node).unwrap();
            let api = api.strip_prefix("http://").unwrap();
            // It is not ready to serve while no block comes.
            wait_until("the node is back", || async {
                TcpStream::connect(api).await.ok()
            })
            .await;
            blocks.mine().await;
        }
        1 => {
            blocks.mine().await;
            market.testnet.restart(node).unwrap();
        }
        _ => {
            blocks.lose(sent).await;
            market.testnet.restart(node).unwrap();
            let again = |other: &Sent| other.from == sent.from && other.kind == sent.kind;
            blocks.wait_for("it is sent again", again).await;
            blocks.mine().await;
        }
    }
}

/// Time runs out for the silent party of a game while both nodes are away, and the buyer ends it. Only
/// the first of the nodes comes back.
async fn end_by_somebody_else(
    market: &mut Fixture,
    blocks: &Blocks,
    game: &Dispute,
    [honest, silent]: [&str; 2],
) {
    for node in [honest, silent] {
        market.testnet.kill(node).unwrap();
    }
    blocks.wait(u64::from(game.clocks.total_s) + 1).await;
    let wallet = EthereumWallet::from(market.testnet.signer("buyer").unwrap());
    let buyer = ProviderBuilder::new()
        .wallet(wallet)
        .connect_http(market.testnet.rpc.parse().unwrap());
    let key = Game::GameKey {
        claimHash: game.claim_hash,
        task: game.task,
        challenger: game.challenger,
        until: 0,
    };
    // The block in which the time has run out is still to come: nobody can estimate the gas.
    let contract = Game::new(market.testnet.game, &buyer);
    let ending = contract.timeout(key).gas(500_000).send().await.unwrap();
    blocks.mine().await;
    let receipt = buyer.get_transaction_receipt(*ending.tx_hash()).await;
    assert!(receipt.unwrap().unwrap().status(), "the clock had run out");
    market.testnet.restart(honest).unwrap();
    blocks.mine().await;
}

/// The honest party gives the verdict and collects, and is killed before either is in a block.
async fn settle_with_kills(market: &mut Fixture, blocks: &Blocks, honest: &str) {
    let account = market.account(honest);
    let closing = [
        Game::Settled::SIGNATURE_HASH,
        Game::Collected::SIGNATURE_HASH,
    ];
    let since = blocks.head().await;
    for turn in 0.. {
        if blocks.events_since(since, &closing).await == closing.len() {
            return;
        }
        let own = |sent: &Sent| sent.from == account;
        let sent = blocks.wait_for("the verdict or the payout", own).await;
        kill_who_has_sent(market, blocks, honest, &sent, turn).await;
    }
}

/// Plays a game to its payout. After each move that was never made before, a fork takes back as many
/// blocks as it can without the one given. Returns the moves of the game: challenge, sections and end.
async fn play_with_forks(market: &Fixture, blocks: &Blocks, stays: u64) -> usize {
    let moves = [
        Game::Challenged::SIGNATURE_HASH,
        Game::Sectioned::SIGNATURE_HASH,
        Game::Ended::SIGNATURE_HASH,
    ];
    // What is sent may be refused where a fork took away what it follows: only events tell the end.
    let collected = [Game::Collected::SIGNATURE_HASH];
    let mut most = 0;
    loop {
        blocks.next().await;
        blocks.mine().await;
        let made = blocks.events_since(stays, &moves).await;
        if made > most {
            most = made;
            let head = blocks.head().await;
            seen_by_all(market, head).await;
            blocks.take_back(FORK.min(head - stays)).await;
            let left = blocks.events_since(stays, &moves).await;
            assert!(left < made, "the fork takes no move back");
        } else if blocks.events_since(stays, &collected).await != 0 {
            return most;
        }
    }
}

/// Waits until every node knows a block, so that a fork takes away what it acted upon.
async fn seen_by_all(market: &Fixture, block: u64) {
    for node in market.testnet.apis.keys() {
        wait_until("the block is seen", || async {
            let status = market.testnet.wait_until_serving(node).await.ok()?;
            (status.block.number >= block).then_some(())
        })
        .await;
    }
}

/// A claim of this provider about a picture within so many cycles, and the chain right after it. What is
/// left of the bid is cancelled, so that nobody runs the job again when the claim falls.
async fn claimed(market: &Fixture, provider: usize, cycles: u64) -> (B256, DealView, Blocks) {
    // Interpreting it takes long enough to be killed in the middle.
    let job = JobBuilder::wasm("sphereflake", program("sphereflake.wasm"))
        .args(["240", "180", "1"])
        .limits(Limits {
            cycles,
            memory_mib: 64,
            ..Limits::default()
        });
    let terms = Terms {
        execution_timeout_s: Some(60),
        ..terms(provider)
    };
    let job = market.job(job).await;
    let bid = market.client.bid(&job, &terms, None).await.unwrap();
    let id = market.client.submit(&job, &bid, |_| {}).await.unwrap();
    market
        .wait_for_job(id, "a deal opens", |job| !job.deals.is_empty())
        .await;
    let blocks = Blocks::hold(market).await;
    let (chain, buyer) = (market.client.chain(), market.account("buyer"));
    let cancel = chain.plan_cancel(bid.salt);
    let mine = async {
        blocks
            .wait_for("the bid is cancelled", |sent| sent.from == buyer)
            .await;
        blocks.mine().await;
    };
    let (cancelled, ()) = tokio::join!(chain.execute(&cancel), mine);
    cancelled.unwrap();
    let view = wait_until("the claim", || async {
        if blocks.find(|sent| sent.kind == "claim").await.is_some() {
            blocks.mine().await;
        }
        let job = market.client.node().job(id).await.ok()?;
        job.deals[0].claim.is_some().then_some(job)
    })
    .await;
    (id, view.deals[0].clone(), blocks)
}

async fn paid_out(market: &Fixture, deal: &DealView, challenger: Address) -> Dispute {
    game_by(market, deal.deal_id, challenger, "it is paid out", |game| {
        game.payout.is_some()
    })
    .await
}

/// Waits until the provider has its price.
async fn is_paid(market: &Fixture, job: B256) {
    let view = market
        .wait_for_job(job, "the deal settles", |job| {
            job.deals[0].state == DealState::Settled
        })
        .await;
    assert!(view.deals[0].paid.0 > U256::ZERO);
}

/// A node is killed and started again.
fn restart(market: &mut Fixture, node: &str) {
    market.testnet.kill(node).unwrap();
    market.testnet.restart(node).unwrap();
}

/// Whether a node has a thread that interprets a task.
fn interprets(node: &Process) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{}/task", node.pid)) else {
        return false;
    };
    let names = threads.flatten().map(|thread| thread.path().join("comm"));
    names
        .filter_map(|name| fs::read_to_string(name).ok())
        .any(|name| name.trim_end() == "interpreter")
}
