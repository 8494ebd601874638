//! Direct streams: blobs, the book snapshot, deal messages; and how peers find each other.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod node;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use alloy_primitives::B256;
use bytes::Bytes;
use futures::StreamExt;
use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::StreamProtocol;
use node::{Node, config, content, order, sharded, soon};
use outcry_net::{
    DealRequest, DealResponse, FetchProgress, NetError, NetworkConfig, PeerKey, Reachability,
};
use tokio::sync::{mpsc, watch};

const BLOB: StreamProtocol = StreamProtocol::new("/outcry/blob/1");
const DEAL: StreamProtocol = StreamProtocol::new("/outcry/deal/1");

/// A peer that speaks streams and follows no rules.
struct Rogue {
    key: PeerKey,
    control: libp2p_stream::Control,
    swimming: tokio::task::JoinHandle<()>,
}

impl Rogue {
    async fn connect_to(node: &Node) -> Self {
        let mut swarm = libp2p::SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(
                libp2p::tcp::Config::default(),
                libp2p::noise::Config::new,
                libp2p::yamux::Config::default,
            )
            .unwrap()
            .with_behaviour(|_| libp2p_stream::Behaviour::new())
            .unwrap()
            .with_swarm_config(|swarm| {
                swarm.with_idle_connection_timeout(std::time::Duration::from_secs(60))
            })
            .build();
        let key = PeerKey::from_peer_id(swarm.local_peer_id()).unwrap();
        let mut control = swarm.behaviour().new_control();
        swarm.dial(node.address()).unwrap();
        // What it serves is fixed when a connection begins.
        let served = control.accept(BLOB).unwrap();
        soon(async {
            while swarm.connected_peers().next().is_none() {
                swarm.select_next_some().await;
            }
        })
        .await;
        drop(served);
        Self {
            key,
            control,
            swimming: tokio::spawn(async move {
                loop {
                    swarm.select_next_some().await;
                }
            }),
        }
    }
}

impl Drop for Rogue {
    fn drop(&mut self) {
        self.swimming.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blobs_of_any_size_arrive_whole() {
    let server = Node::start(1, config()).await;
    let client = Node::join(2, &server, config()).await;
    for (seed, length) in [0, 1, 16_384, 16_385, 5_000_000].into_iter().enumerate() {
        let wanted = content(length, seed as u64);
        let id = server.net.blobs().put_bytes(&wanted).await.unwrap();
        let (progress, seen) = watch::channel(FetchProgress::default());
        let fetched = soon(client.net.fetch(
            id.hash,
            &[server.key()],
            length as u64,
            Some(progress),
        ))
        .await
        .unwrap();
        assert_eq!(fetched, id);
        assert_eq!(seen.borrow().bytes, length as u64);
        let blob = client.net.blobs().get(&id.hash).unwrap().unwrap();
        assert_eq!(blob.read_all(length).unwrap(), wanted);
        // The second time costs nothing, and needs nobody.
        assert_eq!(client.net.fetch(id.hash, &[], 0, None).await.unwrap(), id);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_byte_is_caught_within_its_group_and_the_rest_comes_from_another_peer() {
    const LENGTH: usize = 2_000_000;
    const FLIPPED: usize = 1_000_000;
    const GROUP: usize = 16 * 1024;

    let honest = Node::start(1, config()).await;
    let client = Node::join(2, &honest, config()).await;
    let mut rogue = Rogue::connect_to(&client).await;
    let wanted = content(LENGTH, 1);
    let id = honest.net.blobs().put_bytes(&wanted).await.unwrap();

    // The true encoding but for one byte of content.
    let tree = bao_tree::io::outboard::PreOrderMemOutboard::create(
        &wanted,
        bao_tree::BlockSize::from_chunk_log(4),
    );
    let mut forged = wanted.clone();
    forged[FLIPPED] ^= 1;
    let mut encoded = Vec::new();
    bao_tree::io::sync::encode_ranges(
        &forged[..],
        &tree,
        &bao_tree::ChunkRanges::all(),
        &mut encoded,
    )
    .unwrap();
    let mut incoming = rogue.control.accept(BLOB).unwrap();
    let served = tokio::spawn(async move {
        let (_, mut stream) = incoming.next().await.unwrap();
        let mut request = [0; 44];
        stream.read_exact(&mut request).await.unwrap();
        stream.write_all(&[0]).await.unwrap();
        stream
            .write_all(&(LENGTH as u64).to_be_bytes())
            .await
            .unwrap();
        // The receiver hangs up when it has seen the forgery.
        let _ = stream.write_all(&encoded).await;
        let _ = stream.close().await;
    });

    let (progress, seen) = watch::channel(FetchProgress::default());
    let alone = soon(
        client
            .net
            .fetch(id.hash, &[rogue.key], u64::MAX, Some(progress)),
    )
    .await;
    assert!(matches!(alone, Err(NetError::Protocol(_))), "{alone:?}");
    assert_eq!(seen.borrow().bytes as usize, FLIPPED / GROUP * GROUP);
    assert!(!client.net.blobs().contains(&id.hash));
    assert_eq!(client.net.blobs().usage().bytes, 0);
    assert_eq!(client.metric("blob_fetches_total", "corrupt"), 1.0);
    served.await.unwrap();

    // Once more, with an honest peer behind: it is asked for the rest only.
    let mut incoming = rogue.control.accept(BLOB).unwrap();
    let prefix = Arc::new(AtomicU64::new(0));
    let counted = prefix.clone();
    let tree_of_wanted = wanted.clone();
    tokio::spawn(async move {
        let mut encoded = Vec::new();
        bao_tree::io::sync::encode_ranges(
            &tree_of_wanted[..],
            &tree,
            &bao_tree::ChunkRanges::all(),
            &mut encoded,
        )
        .unwrap();
        let (_, mut stream) = incoming.next().await.unwrap();
        let mut request = [0; 44];
        stream.read_exact(&mut request).await.unwrap();
        stream.write_all(&[0]).await.unwrap();
        stream
            .write_all(&(LENGTH as u64).to_be_bytes())
            .await
            .unwrap();
        let half = encoded.len() / 2;
        stream.write_all(&encoded[..half]).await.unwrap();
        counted.store(half as u64, Ordering::SeqCst);
        stream.close().await.unwrap();
    });
    let peers = [rogue.key, honest.key()];
    let fetched = soon(client.net.fetch(id.hash, &peers, u64::MAX, None)).await;
    assert_eq!(fetched.unwrap(), id);
    let blob = client.net.blobs().get(&id.hash).unwrap().unwrap();
    assert_eq!(blob.read_all(LENGTH).unwrap(), wanted);
    assert!(prefix.load(Ordering::SeqCst) > 0);
    let rest = honest.metric("blob_sent_bytes_total", "") as usize;
    assert!(rest < LENGTH * 6 / 10, "{rest} bytes sent again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_that_is_too_long_or_nowhere_is_not_fetched() {
    let server = Node::start(1, config()).await;
    let client = Node::join(2, &server, config()).await;
    let id = server
        .net
        .blobs()
        .put_bytes(&content(1000, 1))
        .await
        .unwrap();
    let too_long = soon(client.net.fetch(id.hash, &[server.key()], 999, None)).await;
    assert!(matches!(
        too_long,
        Err(NetError::BlobTooLong {
            length: 1000,
            limit: 999,
            ..
        })
    ));
    let nowhere = blake3::hash(b"nowhere");
    let absent = soon(client.net.fetch(nowhere, &[server.key()], 999, None)).await;
    assert!(matches!(absent, Err(NetError::BlobNotFound(hash)) if hash == nowhere));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_joiner_gets_the_orders_that_it_lacks_and_no_others() {
    let old = Node::start(1, config()).await;
    let joiner = Node::join(2, &old, config()).await;
    for seed in 0..1000 {
        old.book.insert(order(seed));
    }
    for seed in 0..900 {
        joiner.book.insert(order(seed));
    }
    joiner.book.insert(order(5000));

    let (sender, mut receiver) = mpsc::channel(8);
    let (outcome, ()) = tokio::join!(soon(joiner.net.sync_book(old.key(), sender)), async {
        while let Some(order) = receiver.recv().await {
            joiner.book.insert(order);
        }
    });
    let outcome = outcome.unwrap();
    assert_eq!(outcome.orders_received, 100);
    assert!(outcome.prefixes_divided <= 1 + 16 + 256);
    assert_eq!(joiner.book.len(), 1001);

    // From the other side one is missing; after that the books are equal and cost one frame.
    let (sender, mut receiver) = mpsc::channel(8);
    let outcome = soon(old.net.sync_book(joiner.key(), sender)).await.unwrap();
    assert_eq!((outcome.orders_received, outcome.prefixes_divided), (1, 2));
    old.book.insert(receiver.recv().await.unwrap());
    let (sender, _receiver) = mpsc::channel(8);
    let outcome = soon(old.net.sync_book(joiner.key(), sender)).await.unwrap();
    assert_eq!((outcome.orders_received, outcome.prefixes_divided), (0, 1));
    assert_eq!(outcome.bytes, 9 + 8 + 16 * 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_compares_the_shards_of_both_and_one_without_any_costs_nobody_anything() {
    let old = Node::start(1, sharded("0-2")).await;
    let joiner = Node::join(2, &old, sharded("1-3")).await;
    let stranger = Node::join(3, &old, sharded("3")).await;
    // A book holds what its node takes part in; what else gets into it stays there.
    for seed in 0..400 {
        old.book.insert(order(seed));
    }
    let shard = |order: &Bytes| order[0] % 4;
    let wanted = (0..400)
        .map(order)
        .filter(|order| [1, 2].contains(&shard(order)))
        .count();
    assert!(wanted > 100);
    let (sender, mut receiver) = mpsc::channel(400);
    let outcome = soon(joiner.net.sync_book(old.key(), sender)).await.unwrap();
    assert_eq!(outcome.shards.to_string(), "1-2");
    assert_eq!(outcome.orders_received as usize, wanted);
    while let Some(order) = receiver.recv().await {
        assert!([1, 2].contains(&shard(&order)));
    }

    let (sender, _receiver) = mpsc::channel(8);
    let outcome = soon(stranger.net.sync_book(old.key(), sender)).await;
    let outcome = outcome.unwrap();
    assert!(outcome.shards.is_empty());
    assert_eq!(outcome.orders_received, 0);
    // For all else they are peers like others.
    let blob = old.net.blobs().put_bytes(&[7; 100]).await.unwrap();
    let fetched = soon(stranger.net.fetch(blob.hash, &[old.key()], 100, None)).await;
    assert_eq!(fetched.unwrap(), blob);
    for (node, peer) in [(&stranger, old.key()), (&old, stranger.key())] {
        assert!(node.score_of(peer).await.unwrap() >= 0.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_that_share_a_bootstrap_node_reach_each_other_by_key_alone() {
    let bootstrap = Node::start(1, config()).await;
    let provider = Node::join(2, &bootstrap, config()).await;
    let buyer = Node::join(3, &bootstrap, config()).await;
    let request = DealRequest::Accept {
        deal: B256::repeat_byte(1),
        claim_hash: B256::repeat_byte(2),
        signature: Bytes::from_static(&[3; 65]),
    };
    let answer = soon(buyer.net.deal(provider.key(), request.clone())).await;
    assert_eq!(answer.unwrap(), DealResponse::Acknowledged);
    let handled = provider.deals.0.lock().unwrap().clone();
    assert_eq!(handled, [(buyer.key(), request)]);
    assert!(bootstrap.deals.0.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_nobody_can_dial_is_reached_through_a_relay() {
    let relay = Node::start(
        1,
        NetworkConfig {
            relay: true,
            ..config()
        },
    )
    .await;
    let hidden = Node::join(
        2,
        &relay,
        NetworkConfig {
            listen: Vec::new(),
            reachability: Reachability::Detect,
            ..config()
        },
    )
    .await;
    let through_relay = soon(
        hidden
            .net
            .address_where(|address| address.to_string().contains("p2p-circuit")),
    );
    through_relay.await.unwrap();
    let visitor = Node::join(3, &relay, config()).await;
    let request = DealRequest::Results { deal: B256::ZERO };
    let answer = soon(visitor.net.deal(hidden.key(), request)).await;
    assert_eq!(answer.unwrap(), DealResponse::Acknowledged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_is_nowhere_is_unreachable() {
    let bootstrap = Node::start(1, config()).await;
    let seeker = Node::join(2, &bootstrap, config()).await;
    let nobody = PeerKey::of(&node::identity(99));
    let answer = soon(seeker.net.connect(nobody)).await;
    assert!(matches!(answer, Err(NetError::Unreachable { peer, .. }) if peer == nobody));
    let itself = soon(seeker.net.connect(seeker.key())).await;
    assert!(matches!(itself, Err(NetError::Unreachable { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_oversize_or_malformed_frame_never_reaches_the_handler() {
    let node = Node::start(1, config()).await;
    let mut rogue = Rogue::connect_to(&node).await;
    let peer = node.key().peer_id().unwrap();
    for frame in [
        // One gigabyte is announced.
        (1_u32 << 30).to_be_bytes().to_vec(),
        // An unknown kind of request.
        [&1_u32.to_be_bytes()[..], &[9]].concat(),
        // A request cut short.
        [&5_u32.to_be_bytes()[..], &[1, 0, 0, 0, 0]].concat(),
    ] {
        let mut stream = soon(rogue.control.open_stream(peer, DEAL)).await.unwrap();
        stream.write_all(&frame).await.unwrap();
        stream.flush().await.unwrap();
        let mut answer = Vec::new();
        soon(stream.read_to_end(&mut answer)).await.unwrap();
        assert_eq!(answer, [2], "bad request");
    }
    assert!(node.deals.0.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_to_one_peer_queue_instead_of_being_refused() {
    let server = Node::start(1, config()).await;
    let client = Node::join(2, &server, config()).await;
    let mut ids = Vec::new();
    for seed in 0..60 {
        let content = content(20_000, seed);
        ids.push(server.net.blobs().put_bytes(&content).await.unwrap());
    }
    let request = |task| DealRequest::Receipt {
        deal: B256::ZERO,
        task,
        output_root: B256::ZERO,
        signature: Bytes::from_static(&[1; 65]),
    };
    let deals = futures::future::join_all((0..100).map(|task| {
        let net = &client.net;
        let peer = server.key();
        async move { net.deal(peer, request(task)).await }
    }));
    let peers = [server.key()];
    let blobs = futures::future::join_all(
        ids.iter()
            .map(|id| client.net.fetch(id.hash, &peers, u64::MAX, None)),
    );
    let (deals, blobs) = soon(futures::future::join(deals, blobs)).await;
    for answer in deals {
        assert_eq!(answer.unwrap(), DealResponse::Acknowledged);
    }
    for (id, fetched) in ids.iter().zip(blobs) {
        assert_eq!(fetched.unwrap(), *id);
    }
    assert_eq!(server.deals.0.lock().unwrap().len(), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_wanted_many_times_at_once_is_sent_once() {
    const LENGTH: usize = 1_000_000;
    let server = Node::start(1, config()).await;
    let client = Node::join(2, &server, config()).await;
    let id = server
        .net
        .blobs()
        .put_bytes(&content(LENGTH, 1))
        .await
        .unwrap();
    let peers = [server.key()];
    let fetches = (0..10).map(|_| client.net.fetch(id.hash, &peers, u64::MAX, None));
    for fetched in soon(futures::future::join_all(fetches)).await {
        assert_eq!(fetched.unwrap(), id);
    }
    let received = client.metric("blob_received_bytes_total", "");
    assert_eq!(received as usize, LENGTH);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_damaged_on_disk_is_not_served_and_forgotten() {
    let server = Node::start(1, config()).await;
    let client = Node::join(2, &server, config()).await;
    let id = server
        .net
        .blobs()
        .put_bytes(&content(100_000, 1))
        .await
        .unwrap();
    let path = server
        .net
        .blobs()
        .get(&id.hash)
        .unwrap()
        .unwrap()
        .path()
        .to_owned();
    let mut damaged = std::fs::read(&path).unwrap();
    damaged[50_000] ^= 1;
    std::fs::write(&path, damaged).unwrap();
    let fetched = soon(client.net.fetch(id.hash, &[server.key()], u64::MAX, None)).await;
    assert!(fetched.is_err());
    assert!(!client.net.blobs().contains(&id.hash));
    assert!(!server.net.blobs().contains(&id.hash));
    assert!(
        client.net.peers().await.unwrap()[0].score >= 0.0,
        "it sent nothing wrong"
    );
}
