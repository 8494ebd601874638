//! Gossip among real nodes in one process: orders reach everybody, what the chain does not back
//! reaches nobody, and books agree after a cut.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use outcry_daemon::admission::Views;
use outcry_daemon::state::Fact;
use outcry_net::{NetError, NetworkLimits};
use outcry_protocol::book::{Book, Event, facts_of_bid, facts_of_offer};
use outcry_protocol::codes::Coded as _;
use outcry_protocol::shard::Sharding;
use outcry_protocol::wire::{Message, SignedBid};
use outcry_testnet::gossip::links::{Delays, Links};
use outcry_testnet::gossip::measure::{Crowd, REGIONS, SIZES_MIB, at_once, few_shards};
use outcry_testnet::gossip::member::{Hearing, Member, settings};
use outcry_testnet::gossip::orders::{Buyer, Provider, StillChain, domain};

const SHORT: Delays = Delays {
    seed: 3,
    min: Duration::from_millis(5),
    max: Duration::from_millis(20),
};

/// Waits for something that must happen; a test that waits in vain fails.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(120), work)
        .await
        .expect("it should have happened within two minutes")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_submitted_anywhere_are_in_every_book() {
    let mut crowd = Crowd::start(25, SHORT).await.unwrap();
    for _ in 0..25 {
        crowd.submit(None).await.unwrap();
    }
    crowd.agree(25).await.unwrap();
    crowd.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn books_agree_again_after_the_network_was_cut_in_two() {
    let mut crowd = Crowd::start(10, SHORT).await.unwrap();
    crowd.healing(10).await.unwrap();
    crowd.stop().await;
}

/// Three nodes in a row: what the first one says reaches the last one through the middle alone.
struct Row {
    first: Member,
    middle: Member,
    last: Member,
}

impl Row {
    async fn start(chain: StillChain) -> Self {
        Self::start_in(chain, Sharding::ONE).await
    }

    /// All of them take part in all shards.
    async fn start_in(chain: StillChain, sharding: Sharding) -> Self {
        let chain = Arc::new(chain);
        let links = Links::new(3, at_once());
        let settings = |links: &Arc<Links>, node, known: &[usize]| {
            let mut config = settings(links, node, known);
            (config.sharding, config.shards) = (sharding, sharding.all());
            config
        };
        let end = |node| {
            let mut config = settings(&links, node, &[1]);
            config.limits = NetworkLimits {
                connections_max: 1,
                ..NetworkLimits::default()
            };
            config
        };
        let middle = Member::start(&links, 1, settings(&links, 1, &[]), chain.clone());
        let middle = middle.await.unwrap();
        let first = Member::start(&links, 0, end(0), chain.clone());
        let first = first.await.unwrap();
        let last = Member::start(&links, 2, end(2), chain).await.unwrap();
        soon(middle.has_peers(2)).await.unwrap();
        soon(first.has_peers(1)).await.unwrap();
        soon(last.has_peers(1)).await.unwrap();
        Self {
            first,
            middle,
            last,
        }
    }

    /// The first node says it, whatever its own admission would say.
    async fn say(&self, bid: SignedBid) {
        self.say_on(0, bid).await;
    }

    /// It says it on a shard.
    async fn say_on(&self, shard: u16, bid: SignedBid) {
        let message = Message::Bid(bid).encode().unwrap();
        loop {
            match self.first.net.publish(shard, message.clone().into()).await {
                Err(NetError::Overloaded) => tokio::task::yield_now().await,
                said => {
                    said.unwrap();
                    return;
                }
            }
        }
    }

    /// What the middle thinks of the first node; `None` when it has cut it off.
    async fn score(&self) -> Option<f64> {
        let peers = self.middle.net.peers().await.unwrap();
        let first = peers.iter().find(|peer| peer.key == self.first.net.key())?;
        Some(first.score)
    }

    async fn stop(self) {
        for member in [self.first, self.middle, self.last] {
            member.stop().await;
        }
    }
}

/// A book of these orders, to which the chain says what it says to the nodes.
async fn book_of<'a>(messages: impl IntoIterator<Item = &'a Message>, chain: &StillChain) -> Book {
    let mut book = Book::new(domain(), 0);
    for message in messages {
        let facts = match message {
            Message::Bid(signed) => {
                facts_of_bid(domain().bid_hash(&signed.bid), &signed.bid).to_vec()
            }
            Message::Offer(signed) => facts_of_offer(&signed.offer).to_vec(),
        };
        for fact in chain.facts(facts, 1).await.unwrap() {
            book.apply(Event::Fact { block: 1, fact });
        }
        book.apply(match message.clone() {
            Message::Bid(signed) => Event::Bid(signed),
            Message::Offer(signed) => Event::Offer(signed),
        });
    }
    book
}

/// Orders that reached a node by gossip, whatever became of them.
fn heard(member: &Member) -> f64 {
    member.metric("orders_total", "") - member.metric("orders_total", "published")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_lose_orders_hear_them_twice_or_come_late_make_the_same_of_a_block() {
    const NODES: usize = 5;
    const ORDERS: usize = 30;
    let mut buyers: Vec<_> = (0..10).map(|n| Buyer::new(n).unwrap()).collect();
    let mut provider = Provider::new(0).unwrap();
    let accounts = buyers.iter().map(Buyer::account);
    let chain = Arc::new(StillChain::funding(accounts.chain([provider.account()])));
    let mut messages: Vec<Message> = (0..ORDERS)
        .map(|n| Message::Bid(buyers[n % 10].bid().unwrap()))
        .collect();
    messages.extend((0..3).map(|_| Message::Offer(provider.offer().unwrap())));
    let links = Links::new(NODES + 1, SHORT);
    let start = |node: usize, known: Vec<usize>| {
        let mut config = settings(&links, node, &known);
        config.limits.book_sync_every = Duration::from_secs(1);
        let (links, chain) = (Arc::clone(&links), Arc::clone(&chain));
        // Each overlooks a third of what it hears, and each another third.
        let hearing = Hearing::Lossy(3);
        async move { Member::start_hearing(hearing, &links, node, config, chain).await }
    };
    let mut members = Vec::new();
    for node in 0..NODES {
        members.push(start(node, Vec::from_iter(0..node)).await.unwrap());
    }
    for member in &members {
        soon(member.has_peers(NODES - 1)).await.unwrap();
    }
    // Every order is said at two nodes, which say them in opposite orders.
    for at in 0..messages.len() {
        for (node, at) in [(at, at), (at + 1, messages.len() - 1 - at)] {
            let member = &members[node % NODES];
            let outcome = member.admission.admit(Fact::Heard(messages[at].clone()));
            outcome.await.unwrap();
            member.admission.gossip(messages[at].clone()).await;
        }
    }
    members.push(start(NODES, vec![0, 1]).await.unwrap());
    let all = book_of(&messages, &chain).await;
    for member in &members {
        soon(member.has_book(all.digest())).await;
    }
    let mended = members[..NODES]
        .iter()
        .map(|member| member.metric("snapshot_orders_received_total", ""));
    assert!(
        mended.sum::<f64>() > 0.0,
        "nothing was lost, so nothing was shown"
    );
    let first = members[0].block(2).await.unwrap();
    assert_eq!(first.book, all.digest());
    assert!(first.matched > 0);
    for member in &members[1..] {
        assert_eq!(member.block(2).await.unwrap(), first);
    }
    for member in members {
        member.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_bids_of_accounts_without_money_travel_to_nobody() {
    let mut funded = Buyer::new(0).unwrap();
    let row = Row::start(StillChain::funding([funded.account()])).await;
    for number in 1..=100 {
        // Ten each, so that it is not their rate that stops them.
        let mut buyer = Buyer::new(number).unwrap();
        for _ in 0..10 {
            row.say(buyer.bid().unwrap()).await;
        }
    }
    row.say(funded.bid().unwrap()).await;
    soon(row.last.has_bids(1)).await;
    let ids = row.last.bid_ids();
    soon(async {
        while row.middle.metric("orders_total", "ignored") < 1000.0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // The one that is backed may have come in the book of a peer before it came by gossip.
    assert!(heard(&row.last) <= 1.0);
    assert_eq!(row.last.bid_ids(), ids, "nor by the book of a peer");
    assert_eq!(row.middle.bid_ids(), ids, "nor do they fill the book");
    assert_eq!(row.middle.metric("orders_total", "accepted"), 1.0);
    let score = row.score().await.unwrap();
    assert!(score >= 0.0, "balances differ between nodes: {score}");
    row.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bids_with_a_wrong_signature_travel_to_nobody_and_cost_the_peer_its_connection() {
    let mut buyer = Buyer::new(0).unwrap();
    let row = Row::start(StillChain::funding([buyer.account()])).await;
    let honest = buyer.bid().unwrap();
    row.say(honest).await;
    soon(row.last.has_bids(1)).await;
    let mut forged = buyer.bid().unwrap();
    forged.bid.priceCap += 1;
    row.say(forged).await;
    soon(async {
        while row.score().await.is_some_and(|score| score >= 0.0) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for _ in 0..3 {
        let mut forged = buyer.bid().unwrap();
        forged.bid.priceCap += 1;
        let message = Message::Bid(forged).encode().unwrap();
        // It may be cut off before the last one.
        let _ = row.first.net.publish(0, message.into()).await;
    }
    soon(async {
        while row.score().await.is_some() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(heard(&row.last), 1.0);
    row.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_account_sends_beyond_its_rate_does_not_travel_and_costs_nobody_anything() {
    let mut buyer = Buyer::new(0).unwrap();
    let row = Row::start(StillChain::funding([buyer.account()])).await;
    let started = std::time::Instant::now();
    for _ in 0..400 {
        row.say(buyer.bid().unwrap()).await;
    }
    soon(async {
        while heard(&row.middle) < 400.0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // 128 at once and ten a second.
    let allowed = 128.0 + 10.0 * started.elapsed().as_secs_f64() + 1.0;
    let accepted = row.middle.metric("orders_total", "accepted");
    assert!(
        accepted >= 128.0 && accepted <= allowed,
        "{accepted} of {allowed}"
    );
    assert!(heard(&row.last) <= accepted);
    assert!(row.score().await.unwrap() >= 0.0);
    row.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_of_the_same_shards_make_the_same_of_a_block_whatever_they_lose_or_hear_twice() {
    const NODES: usize = 7;
    let sharding = Sharding::try_from(16).unwrap();
    let everything = sharding.all();
    let (small, other) = (few_shards(sharding, 0), few_shards(sharding, 1));
    assert!(!small.is_within(other) && !small.and(other).is_empty());
    // The last one comes late. Three hubs, so that the others are one network.
    let shards = [
        everything, everything, everything, small, small, other, other, small,
    ];
    let mut buyers: Vec<_> = (0..10).map(|n| Buyer::new(n).unwrap()).collect();
    let mut provider = Provider::new(0).unwrap();
    let accounts = buyers.iter().map(Buyer::account);
    let chain = Arc::new(StillChain::funding(accounts.chain([provider.account()])));
    let mut messages = Vec::new();
    for (n, (size, region)) in orders_of_all_kinds(48).enumerate() {
        messages.push(Message::Bid(buyers[n % 10].bid_for(size, region).unwrap()));
    }
    for (size, region) in orders_of_all_kinds(16) {
        let offer = provider.offer_at(size.max(256), region.unwrap_or(9));
        messages.push(Message::Offer(offer.unwrap()));
    }
    let links = Links::new(NODES + 1, SHORT);
    let start = |node: usize, known: Vec<usize>| {
        let mut config = settings(&links, node, &known);
        (config.sharding, config.shards) = (sharding, shards[node]);
        config.limits.book_sync_every = Duration::from_secs(1);
        let (links, chain) = (Arc::clone(&links), Arc::clone(&chain));
        let hearing = Hearing::Lossy(3);
        async move { Member::start_hearing(hearing, &links, node, config, chain).await }
    };
    let mut members = Vec::new();
    for node in 0..NODES {
        members.push(start(node, Vec::from_iter(0..node)).await.unwrap());
    }
    for member in &members {
        // All of them take part in the shard of small bids for any region.
        soon(member.has_peers(NODES - 1)).await.unwrap();
    }
    // Every order is said at two of the nodes that take part in its shard, in opposite orders.
    let last = messages.len() - 1;
    for at in 0..=last {
        for (turn, at) in [(at, at), (at + 1, last - at)] {
            let shard = sharding.of(&messages[at]);
            let of_shard: Vec<_> = members
                .iter()
                .filter(|member| member.net.shards().contains(shard))
                .collect();
            let member = of_shard[turn % of_shard.len()];
            let outcome = member.admission.admit(Fact::Heard(messages[at].clone()));
            outcome.await.unwrap();
            member.admission.gossip(messages[at].clone()).await;
        }
    }
    members.push(start(NODES, vec![0, 3]).await.unwrap());
    let mut digests = Vec::new();
    for member in &members {
        let own = member.net.shards();
        let wanted = messages
            .iter()
            .filter(|message| own.contains(sharding.of(message)));
        let book = book_of(wanted, &chain).await;
        soon(member.has_book(book.digest())).await;
        digests.push(book.digest());
    }
    assert_ne!(digests[0], digests[3]);
    assert_ne!(digests[3], digests[5]);
    let mended = members[..NODES]
        .iter()
        .map(|member| member.metric("snapshot_orders_received_total", ""));
    assert!(
        mended.sum::<f64>() > 0.0,
        "nothing was lost, so nothing was shown"
    );
    let mut seen = Vec::new();
    for member in &members {
        seen.push((member.net.shards(), member.block(2).await.unwrap()));
    }
    for (shards, epoch) in &seen {
        assert!(epoch.matched > 0);
        let same = seen.iter().find(|(others, _)| others == shards).unwrap();
        assert_eq!(*epoch, same.1);
    }
    for member in members {
        member.stop().await;
    }
}

/// Sizes and regions of so many orders, of every size and region in turn.
fn orders_of_all_kinds(count: usize) -> impl Iterator<Item = (u32, Option<u8>)> {
    let regions = REGIONS.into_iter();
    let kinds = regions.flat_map(|region| SIZES_MIB.map(|size| (size, region)));
    kinds.collect::<Vec<_>>().into_iter().cycle().take(count)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_in_few_shards_hears_its_own_orders_and_costs_its_peers_less_than_one_in_all() {
    const NODES: usize = 10;
    const ORDERS: usize = 64;
    let sixteen = Sharding::try_from(16).unwrap();
    let few = few_shards(sixteen, 0);
    assert_eq!(few.len(), 2);
    let of_node = |node: usize| if node % 2 == 0 { sixteen.all() } else { few };
    let mut copies = Vec::new();
    for sharding in [Sharding::ONE, sixteen] {
        let shards_of = |node| match sharding {
            Sharding::ONE => Sharding::ONE.all(),
            _ => of_node(node),
        };
        let mut crowd = Crowd::start_in(NODES, SHORT, sharding, shards_of)
            .await
            .unwrap();
        let mut shards = Vec::new();
        for (size, region) in orders_of_all_kinds(ORDERS) {
            shards.push(crowd.submit_for(size, region).await.unwrap());
        }
        for member in &crowd.members {
            let own = member.net.shards();
            let wanted = shards.iter().filter(|shard| own.contains(**shard)).count();
            soon(member.has_bids(wanted)).await;
            assert_eq!(member.bids(), wanted);
        }
        // Whatever was sent to a node in few shards, copies and all.
        let [mut messages, mut bytes] = [0.0, 0.0];
        for member in crowd.members.iter().skip(1).step_by(2) {
            messages += member.metric("gossip_topic_msg_recv_counts_unfiltered_total", "");
            bytes += member.metric("gossip_topic_msg_recv_bytes_unfiltered_total", "");
        }
        copies.push((messages, bytes));
        crowd.stop().await;
    }
    let [(all, all_bytes), (few, few_bytes)] = copies[..] else {
        panic!("two networks")
    };
    // An eighth of the orders: 1 of 4 sizes, for any region or one of the three.
    assert!(few > 0.0 && few * 4.0 < all, "{few} of {all}");
    assert!(
        few_bytes > 0.0 && few_bytes * 4.0 < all_bytes,
        "{few_bytes} of {all_bytes} bytes"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_on_a_wrong_shard_travels_to_nobody_and_costs_its_sender_and_not_its_author() {
    let sharding = Sharding::try_from(4).unwrap();
    let mut buyer = Buyer::new(0).unwrap();
    let row = Row::start_in(StillChain::funding([buyer.account()]), sharding).await;
    let (first, second) = (buyer.bid().unwrap(), buyer.bid_for(1024, None).unwrap());
    assert_eq!(sharding.of_bid(&first.bid), 0);
    assert_eq!(sharding.of_bid(&second.bid), 1);
    row.say_on(1, first.clone()).await;
    soon(async {
        while row.score().await.is_some_and(|score| score >= 0.0) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(row.middle.metric("orders_total", "rejected"), 1.0);
    assert_eq!((row.middle.bids(), row.last.bids()), (0, 0));
    // The order itself is as good as any, on its shard.
    row.say_on(0, first).await;
    row.say_on(1, second).await;
    soon(row.last.has_bids(2)).await;
    assert!(heard(&row.last) <= 2.0);
    row.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_does_not_take_an_order_that_it_could_tell_nobody_of() {
    let sharding = Sharding::try_from(16).unwrap();
    let mut buyer = Buyer::new(0).unwrap();
    let links = Links::new(1, at_once());
    let mut config = settings(&links, 0, &[]);
    (config.sharding, config.shards) = (sharding, few_shards(sharding, 0));
    let chain = Arc::new(StillChain::funding([buyer.account()]));
    let member = Member::start(&links, 0, config, chain).await.unwrap();
    let (own, others) = (buyer.bid().unwrap(), buyer.bid_for(4096, None).unwrap());
    let refused = member.admission.submit(others).await.unwrap_err();
    assert_eq!(refused.code().id, "O-029");
    assert!(
        refused.to_string().contains("takes part in 0-1"),
        "{refused}"
    );
    member.admission.submit(own).await.unwrap();
    assert_eq!(member.bids(), 1);
    member.stop().await;
}
