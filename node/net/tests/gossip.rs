//! Orders travel to everyone, once they were found valid, and not faster than allowed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod node;

use libp2p_gossipsub as gossipsub;
use node::{Node, config, order, sharded, soon};
use outcry_net::{NetError, NetworkConfig, NetworkEvent, NetworkLimits, Verdict};

fn topic() -> gossipsub::IdentTopic {
    gossipsub::IdentTopic::new(format!(
        "/outcry/1/{}/{:#x}/0",
        node::CHAIN_ID,
        node::MARKET
    ))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_of_books_is_due_after_a_peer_joined() {
    let mut node = Node::start(1, config()).await;
    let peer = Node::join(2, &node, config()).await;
    let due = soon(async {
        loop {
            if let NetworkEvent::BookSyncDue(peer) = node.events.recv().await.unwrap() {
                return peer;
            }
        }
    });
    assert_eq!(due.await, peer.key());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_order_reaches_five_nodes_in_few_copies() {
    let mut first = Node::start(1, config()).await;
    let mut others = Vec::new();
    for seed in 2..=5 {
        others.push(Node::join(seed, &first, config()).await);
    }
    first.joined_by(4).await;
    for other in &mut others {
        other.joined_by(4).await;
    }

    let wanted = order(1);
    first.publish(&wanted).await;
    for other in &mut others {
        let received = other.accept().await;
        assert_eq!(received.bytes, wanted);
        assert_eq!(received.shard, 0);
    }
    // Each node passes the order on before it answers the next command.
    let mut copies = 0.0;
    for node in others.iter().chain([&first]) {
        node.net.peers().await.unwrap();
        copies += node.metric("gossip_topic_msg_sent_counts_total", "");
    }
    // Four deliveries are needed; without any suppression each of the four would send to the
    // three that did not send it the order: 4 + 4 * 3.
    assert!((4.0..=16.0).contains(&copies), "{copies} copies");
    for other in &others {
        assert_eq!(other.metric("orders_total", "accepted"), 1.0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_order_is_not_passed_on_and_costs_its_sender_score() {
    let mut middle = Node::start(1, config()).await;
    // Both ends have room for one connection only: what passes between them passes the middle.
    let one_peer = || NetworkConfig {
        limits: NetworkLimits {
            connections_max: 1,
            ..NetworkLimits::default()
        },
        ..config()
    };
    let mut sender = Node::join(2, &middle, one_peer()).await;
    let mut receiver = Node::join(3, &middle, one_peer()).await;
    middle.joined_by(2).await;
    sender.joined_by(1).await;
    receiver.joined_by(1).await;

    let (invalid, valid) = (order(1), order(2));
    sender.publish(&invalid).await;
    let rejected = middle.order().await;
    assert_eq!(rejected.bytes, invalid);
    assert!(
        middle
            .net
            .report(rejected.id, Verdict::Reject)
            .await
            .unwrap()
    );
    assert!(
        !middle
            .net
            .report(rejected.id, Verdict::Accept)
            .await
            .unwrap(),
        "a verdict stands"
    );
    sender.publish(&valid).await;
    assert_eq!(middle.accept().await.bytes, valid);

    // The first order that comes through is the valid one.
    assert_eq!(receiver.accept().await.bytes, valid);
    assert!(middle.score_of(sender.key()).await.unwrap() < 0.0);
    assert!(middle.score_of(receiver.key()).await.unwrap() >= 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_fails_on_one_shard_goes_negative_however_good_it_is_on_another() {
    let shards = || sharded("0-1");
    let mut receiver = Node::start(1, shards()).await;
    let mut sender = Node::join(2, &receiver, shards()).await;
    receiver.joined_by(1).await;
    sender.joined_by(1).await;
    for seed in 0..200 {
        sender.net.publish(1, order(seed)).await.unwrap();
        receiver.accept().await;
    }
    assert!(receiver.score_of(sender.key()).await.unwrap() >= 0.0);
    sender.net.publish(0, order(1000)).await.unwrap();
    let invalid = receiver.order().await;
    assert_eq!(invalid.shard, 0);
    let rejected = receiver.net.report(invalid.id, Verdict::Reject).await;
    assert!(rejected.unwrap());
    assert!(receiver.score_of(sender.key()).await.unwrap() < 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_reach_those_who_take_part_in_their_shard_and_nobody_else() {
    let mut hub = Node::start(1, sharded("0-2")).await;
    let mut left = Node::join(2, &hub, sharded("0-1")).await;
    let mut right = Node::join(3, &hub, sharded("1-2")).await;
    hub.joined_by(2).await;
    left.joined_by(2).await;
    right.joined_by(2).await;
    for (shard, seed) in [(0, 10), (2, 12), (1, 11)] {
        hub.net.publish(shard, order(seed)).await.unwrap();
    }
    // The last one reaches both. What comes on a connection comes in its order.
    for (node, own) in [(&mut left, (0, 10)), (&mut right, (2, 12))] {
        let mut heard = Vec::new();
        for _ in 0..2 {
            let received = node.accept().await;
            heard.push((received.shard, received.bytes));
        }
        heard.sort();
        let mut expected = vec![(own.0, order(own.1)), (1, order(11))];
        expected.sort();
        assert_eq!(heard, expected);
    }
    for node in [&left, &right] {
        assert_eq!(node.metric("orders_total", ""), 2.0);
        soon(async {
            while node.metric("shard_peers", "shard=\"1\"") < 2.0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    let elsewhere = left.net.publish(2, order(13)).await;
    assert!(matches!(elsewhere, Err(NetError::UnknownShard(2))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_shares_no_shard_is_known_by_its_own() {
    let hub = Node::start(1, sharded("0-3")).await;
    let mut one = Node::join(2, &hub, sharded("0")).await;
    let other = Node::join(3, &hub, sharded("2-3")).await;
    soon(one.net.connect(other.key())).await.unwrap();
    // What it has said of its shards is what tells it from one that has said nothing, and is met anew.
    soon(async {
        loop {
            let peers = one.net.peers().await.unwrap();
            let peer = peers.iter().find(|peer| peer.key == other.key());
            if let Some(peer) = peer.filter(|peer| !peer.shards.is_empty()) {
                assert!(!peer.subscribed);
                assert!(peer.shards.is_within("2-3".parse().unwrap()));
                return;
            }
            tokio::select! {
                event = one.events.recv() => assert!(!is_about(&event.unwrap(), other.key())),
                () = tokio::task::yield_now() => {}
            }
        }
    })
    .await;
}

/// Whether the node is to do something with a peer's orders or books.
fn is_about(event: &NetworkEvent, peer: outcry_net::PeerKey) -> bool {
    match event {
        NetworkEvent::PeerJoined(key) | NetworkEvent::BookSyncDue(key) => *key == peer,
        NetworkEvent::Order(order) => order.from == peer,
        _ => false,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_came_on_a_wrong_shard_first_is_heard_on_its_own_and_costs_its_senders_nothing()
 {
    let mut receiver = Node::start(1, sharded("0-1")).await;
    let mut liar = Node::join(2, &receiver, sharded("0-1")).await;
    liar.joined_by(1).await;
    receiver.joined_by(1).await;
    liar.net.publish(1, order(1)).await.unwrap();
    let wrong = receiver.order().await;
    assert_eq!(wrong.shard, 1);
    let rejected = receiver.net.report(wrong.id, Verdict::Reject).await;
    assert!(rejected.unwrap());
    assert!(receiver.score_of(liar.key()).await.unwrap() < 0.0);

    let mut honest = Node::join(3, &receiver, sharded("0-1")).await;
    honest.joined_by(1).await;
    receiver.joined_by(2).await;
    honest.net.publish(0, order(1)).await.unwrap();
    let right = receiver.order().await;
    assert_eq!((right.shard, right.from), (0, honest.key()));
    assert!(
        receiver
            .net
            .report(right.id, Verdict::Accept)
            .await
            .unwrap()
    );
    assert!(receiver.score_of(honest.key()).await.unwrap() >= 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_disagree_about_the_number_of_shards_do_not_hear_each_other() {
    let four = Node::start(1, sharded("0-3")).await;
    let one = Node::join(2, &four, config()).await;
    let mut more = Node::join(3, &four, sharded("0")).await;
    more.joined_by(1).await;
    soon(one.net.connect(more.key())).await.unwrap();
    assert!(matches!(
        one.net.publish(0, order(1)).await,
        Err(NetError::NoPeers)
    ));
    let peers = more.net.peers().await.unwrap();
    let peer = peers.iter().find(|peer| peer.key == one.key());
    assert!(peer.is_none_or(|peer| !peer.subscribed));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ignored_order_is_not_passed_on_and_costs_nothing() {
    let mut receiver = Node::start(1, config()).await;
    let mut sender = Node::join(2, &receiver, config()).await;
    receiver.joined_by(1).await;
    sender.joined_by(1).await;
    sender.publish(&order(1)).await;
    let ignored = receiver.order().await;
    receiver
        .net
        .report(ignored.id, Verdict::Ignore)
        .await
        .unwrap();
    assert!(receiver.score_of(sender.key()).await.unwrap() >= 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flooding_peer_is_limited_and_at_last_cut_off() {
    let limited = NetworkConfig {
        limits: NetworkLimits {
            orders_per_peer_per_s: 1,
            orders_per_peer_burst: 10,
            ..NetworkLimits::default()
        },
        ..config()
    };
    let mut victim = Node::start(1, limited).await;
    let mut flooder = Node::join(2, &victim, config()).await;
    victim.joined_by(1).await;
    flooder.joined_by(1).await;

    let started = tokio::time::Instant::now();
    for seed in 0..400 {
        match flooder.net.publish(0, order(seed)).await {
            Ok(_) => {}
            // Its own queue is full, or it was cut off already.
            Err(NetError::Overloaded | NetError::NoPeers) => break,
            Err(error) => panic!("{error}"),
        }
    }
    let mut orders = 0;
    soon(async {
        loop {
            match victim.events.recv().await.unwrap() {
                NetworkEvent::Order(_) => orders += 1,
                NetworkEvent::PeerLeft(peer) if peer == flooder.key() => return,
                _ => {}
            }
        }
    })
    .await;
    let allowed = 10.0 + started.elapsed().as_secs_f64();
    assert!(
        f64::from(orders) <= allowed,
        "{orders} orders, {allowed} allowed"
    );
    assert!(victim.metric("orders_total", "limited") >= 150.0);
    assert_eq!(victim.metric("peers_banned_total", ""), 1.0);
}

/// A node's former life, as its peers see it after it was killed: connected and silent.
#[derive(libp2p::swarm::NetworkBehaviour)]
struct FormerLife {
    gossip: gossipsub::Behaviour,
    identify: libp2p::swarm::behaviour::toggle::Toggle<libp2p::identify::Behaviour>,
}

impl FormerLife {
    /// The former life of node 2 joins `witness`.
    async fn begin(witness: &mut Node, identifies_itself: bool) -> tokio::task::JoinHandle<()> {
        let key = node::identity(2).to_bytes();
        let key = libp2p::identity::Keypair::ed25519_from_bytes(key).unwrap();
        let mut swarm = libp2p::SwarmBuilder::with_existing_identity(key)
            .with_tokio()
            .with_tcp(
                libp2p::tcp::Config::default(),
                libp2p::noise::Config::new,
                libp2p::yamux::Config::default,
            )
            .unwrap()
            .with_behaviour(|key| Self {
                gossip: gossipsub::Behaviour::new(
                    gossipsub::MessageAuthenticity::Anonymous,
                    gossipsub::ConfigBuilder::default()
                        .validation_mode(gossipsub::ValidationMode::Anonymous)
                        .build()
                        .unwrap(),
                )
                .unwrap(),
                identify: identifies_itself
                    .then(|| {
                        libp2p::identify::Behaviour::new(libp2p::identify::Config::new(
                            "/outcry/1".to_owned(),
                            key.public(),
                        ))
                    })
                    .into(),
            })
            .unwrap()
            .build();
        swarm.behaviour_mut().gossip.subscribe(&topic()).unwrap();
        swarm.dial(witness.address()).unwrap();
        let swimming = tokio::spawn(async move {
            loop {
                futures::StreamExt::select_next_some(&mut swarm).await;
            }
        });
        witness.joined_by(1).await;
        swimming
    }
}

/// Waits until an order of `author` reaches `reader`; those sent before they met may be lost.
async fn hears(reader: &mut Node, author: &mut Node) {
    soon(async {
        for seed in 0.. {
            let _ = author.net.publish(0, order(seed)).await;
            tokio::select! {
                _ = reader.order() => return,
                event = author.events.recv() => drop(event.unwrap()),
            };
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_node_gossips_again_although_its_peers_hold_a_dead_connection() {
    let mut witness = Node::start(1, config()).await;
    let former = FormerLife::begin(&mut witness, true).await;
    let mut reborn = Node::join(2, &witness, config()).await;
    reborn.joined_by(1).await;
    hears(&mut reborn, &mut witness).await;
    former.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_never_says_what_it_subscribes_to_is_met_anew() {
    let mut witness = Node::start(1, config()).await;
    let former = FormerLife::begin(&mut witness, false).await;
    let mut reborn = Node::join(2, &witness, config()).await;
    // Both lives are connected; to the new one the witness has nothing to say. Then the old dies.
    soon(reborn.net.connect(witness.key())).await.unwrap();
    former.abort();
    reborn.joined_by(1).await;
    hears(&mut reborn, &mut witness).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_sent_is_refused_with_its_reason() {
    let node = Node::start(1, config()).await;
    let alone = node.net.publish(0, order(1)).await;
    assert!(matches!(alone, Err(NetError::NoPeers)));
    let too_long = node.net.publish(0, vec![0; 2049].into()).await;
    assert!(matches!(
        too_long,
        Err(NetError::TooLong {
            length: 2049,
            limit: 2048
        })
    ));
    let elsewhere = node.net.publish(7, order(1)).await;
    assert!(matches!(elsewhere, Err(NetError::UnknownShard(7))));
    node.net.stop().await;
    let stopped = node.net.publish(0, order(1)).await;
    assert!(matches!(stopped, Err(NetError::Stopped)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_oversize_message_of_a_foreign_implementation_is_refused_and_costs_score() {
    use futures::StreamExt;
    use libp2p::swarm::SwarmEvent;

    let mut node = Node::start(1, config()).await;
    // Gossipsub without our limits.
    let gossip = gossipsub::Behaviour::<gossipsub::IdentityTransform>::new(
        gossipsub::MessageAuthenticity::Anonymous,
        gossipsub::ConfigBuilder::default()
            .validation_mode(gossipsub::ValidationMode::Anonymous)
            .message_id_fn(|message| blake3::hash(&message.data).as_bytes().to_vec().into())
            .build()
            .unwrap(),
    )
    .unwrap();
    let mut swarm = libp2p::SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(
            libp2p::tcp::Config::default(),
            libp2p::noise::Config::new,
            libp2p::yamux::Config::default,
        )
        .unwrap()
        .with_behaviour(|_| gossip)
        .unwrap()
        .build();
    let topic = topic();
    swarm.behaviour_mut().subscribe(&topic).unwrap();
    let foreigner = outcry_net::PeerKey::from_peer_id(swarm.local_peer_id()).unwrap();
    swarm.dial(node.address()).unwrap();
    soon(async {
        loop {
            if let SwarmEvent::Behaviour(gossipsub::Event::Subscribed { .. }) =
                swarm.select_next_some().await
            {
                return;
            }
        }
    })
    .await;
    node.joined_by(1).await;

    let gossip = swarm.behaviour_mut();
    gossip.publish(topic.hash(), vec![1; 4096]).unwrap();
    gossip.publish(topic.hash(), vec![2; 700]).unwrap();
    let swimming = tokio::spawn(async move {
        loop {
            swarm.select_next_some().await;
        }
    });
    // What follows the oversize message arrives; the oversize one does not.
    assert_eq!(node.order().await.bytes, vec![2; 700]);
    assert!(node.score_of(foreigner).await.unwrap() < 0.0);
    swimming.abort();
}
