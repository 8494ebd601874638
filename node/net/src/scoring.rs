//! Peer scores of gossipsub (v1.1 specification, section "Peer Scoring"): parameters and why.
//!
//! The rule that they must obey, whatever else a peer does: *a peer that persistently fails on one
//! topic goes negative, however good it is elsewhere.* Widely copied parameters break it, because
//! good conduct on many topics adds up to more than misconduct on one can cost (Kumar et al.,
//! "Formal Model-Driven Analysis of Resilience of GossipSub to Attacks from Misbehaving Peers",
//! 2022). Here topics share one budget of praise, and blame is not shared: see [`parameters`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use libp2p_gossipsub::{
    IdentTopic, PeerScoreParams, PeerScoreThresholds, TopicScoreParams,
    score_parameter_decay_with_base,
};

/// Most praise for being in the mesh (P1), reached after an hour.
const MESH_PRAISE_MAX: f64 = 5.0;
/// Most praise for orders delivered first (P2).
const DELIVERY_PRAISE_MAX: f64 = 10.0;
/// Most praise in all.
pub(crate) const PRAISE_MAX: f64 = MESH_PRAISE_MAX + DELIVERY_PRAISE_MAX;
/// Blame for one rejected order (P4, squared count): one alone outweighs all praise.
pub(crate) const REJECTION_BLAME: f64 = 20.0;
/// A rejected order is remembered for an hour.
const REJECTION_DECAY: Duration = Duration::from_secs(3600);
/// What is not worth remembering.
const DECAY_TO_ZERO: f64 = 0.01;

/// A peer below this gets no gossip of ours: two rejected orders.
const GOSSIP_THRESHOLD: f64 = -40.0;
/// A peer below this gets none of our own orders.
const PUBLISH_THRESHOLD: f64 = -80.0;
/// A peer below this is not listened to, and disconnected: three rejected orders.
pub(crate) const BAN_THRESHOLD: f64 = -160.0;

/// Parameters for a node of these topics.
///
/// With n topics each has the weight 1/n, so that praise sums to at most [`PRAISE_MAX`] over all of
/// them, and blame is n times what it would be, so that it counts in full.
///
/// Mesh delivery deficits (P3, P3b) stay off: they presume a known rate of messages, and a market's
/// quiet hour would turn every honest peer negative.
pub(crate) fn parameters(topics: &[IdentTopic]) -> PeerScoreParams {
    let count = topics.len().max(1) as f64;
    let topic = TopicScoreParams {
        topic_weight: 1.0 / count,
        time_in_mesh_weight: MESH_PRAISE_MAX / 3600.0,
        time_in_mesh_quantum: Duration::from_secs(1),
        time_in_mesh_cap: 3600.0,
        first_message_deliveries_weight: DELIVERY_PRAISE_MAX / 100.0,
        first_message_deliveries_decay: decay(Duration::from_secs(600)),
        first_message_deliveries_cap: 100.0,
        mesh_message_deliveries_weight: 0.0,
        mesh_failure_penalty_weight: 0.0,
        invalid_message_deliveries_weight: -REJECTION_BLAME * count,
        invalid_message_deliveries_decay: decay(REJECTION_DECAY),
        ..TopicScoreParams::default()
    };
    PeerScoreParams {
        topics: topics
            .iter()
            .map(|name| (name.hash(), topic.clone()))
            .collect(),
        topic_score_cap: PRAISE_MAX,
        // P5 is ours: minus the blame for floods and corrupt blobs, see `Blame`.
        app_specific_weight: 1.0,
        // P6: at most ten peers an address; one host may run a whole network.
        ip_colocation_factor_weight: -5.0,
        ip_colocation_factor_threshold: 10.0,
        ip_colocation_factor_whitelist: [
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(Ipv6Addr::LOCALHOST),
        ]
        .into(),
        // P7: broken promises and early re-grafts; a few happen to honest peers under load.
        behaviour_penalty_weight: -10.0,
        behaviour_penalty_threshold: 6.0,
        behaviour_penalty_decay: decay(Duration::from_secs(600)),
        decay_interval: Duration::from_secs(1),
        decay_to_zero: DECAY_TO_ZERO,
        retain_score: REJECTION_DECAY,
        ..PeerScoreParams::default()
    }
}

pub(crate) fn thresholds() -> PeerScoreThresholds {
    PeerScoreThresholds {
        gossip_threshold: GOSSIP_THRESHOLD,
        publish_threshold: PUBLISH_THRESHOLD,
        graylist_threshold: BAN_THRESHOLD,
        // Peer exchange stays off.
        accept_px_threshold: PRAISE_MAX,
        opportunistic_graft_threshold: 1.0,
    }
}

fn decay(until_forgotten: Duration) -> f64 {
    score_parameter_decay_with_base(until_forgotten, Duration::from_secs(1), DECAY_TO_ZERO)
}

/// Blame that this crate gives itself, halved every minute.
pub(crate) mod blame {
    /// One order beyond a peer's rate.
    pub(crate) const FLOOD: f64 = 1.0;
    /// Blob content with a wrong hash.
    pub(crate) const CORRUPT_BLOB: f64 = 50.0;
    /// A book that contradicts itself, or with an order that nobody honest holds: like rejected orders.
    pub(crate) const FALSE_BOOK: f64 = 50.0;
    /// Most blame: forgotten within a quarter of an hour.
    pub(crate) const MAX: f64 = 400.0;
    /// What a second leaves: 2^(-1/60).
    pub(crate) const DECAY_PER_S: f64 = 0.988_514;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    const SHARDS: usize = outcry_protocol::shard::SHARDS_MAX as usize;

    fn topics(count: usize) -> Vec<IdentTopic> {
        let sharding = outcry_protocol::shard::Sharding::try_from(SHARDS as u16).unwrap();
        (0..count)
            .map(|shard| crate::gossip::topic(1, &Default::default(), sharding, shard as u16))
            .collect()
    }

    /// What gossipsub counts per peer and topic.
    #[derive(Clone, Copy, Debug, Default)]
    struct Counters {
        seconds_in_mesh: f64,
        first_deliveries: f64,
        rejected: f64,
    }

    impl Counters {
        /// One second passes (gossipsub's refresh), in which these messages came.
        fn second(&mut self, parameters: &TopicScoreParams, delivered: f64, rejected: f64) {
            self.seconds_in_mesh += 1.0;
            self.first_deliveries = (self.first_deliveries + delivered)
                .min(parameters.first_message_deliveries_cap)
                * parameters.first_message_deliveries_decay;
            self.rejected =
                (self.rejected + rejected) * parameters.invalid_message_deliveries_decay;
            if self.rejected < DECAY_TO_ZERO {
                self.rejected = 0.0;
            }
        }

        fn score(&self, parameters: &TopicScoreParams) -> f64 {
            let time = (self.seconds_in_mesh / parameters.time_in_mesh_quantum.as_secs_f64())
                .min(parameters.time_in_mesh_cap);
            let deliveries = self
                .first_deliveries
                .min(parameters.first_message_deliveries_cap);
            parameters.topic_weight
                * (time * parameters.time_in_mesh_weight
                    + deliveries * parameters.first_message_deliveries_weight
                    + self.rejected.powi(2) * parameters.invalid_message_deliveries_weight)
        }
    }

    /// The topics' part of the score; all topics have the same parameters.
    fn total(parameters: &PeerScoreParams, counters: &[Counters]) -> f64 {
        let topic = one(parameters);
        counters
            .iter()
            .map(|counters| counters.score(topic))
            .sum::<f64>()
            .min(parameters.topic_score_cap)
    }

    fn one(parameters: &PeerScoreParams) -> &TopicScoreParams {
        parameters.topics.values().next().unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_parameters_are_valid_for_any_number_of_topics(count in 0..=SHARDS) {
            prop_assert_eq!(parameters(&topics(count)).validate(), Ok(()));
        }

        #[test]
        fn a_peer_that_keeps_failing_on_one_topic_stays_negative_however_good_it_is_elsewhere(
            count in 1..=SHARDS,
            deliveries_per_s in 0.0..1000.0_f64,
            seconds_between_failures in 1..=300_usize,
            good_seconds_before in 0..7200_usize,
        ) {
            let parameters = parameters(&topics(count));
            let topic = one(&parameters);
            let mut counters = vec![Counters::default(); count];
            for _ in 0..good_seconds_before {
                for counters in &mut counters {
                    counters.second(topic, deliveries_per_s, 0.0);
                }
            }
            prop_assert!(total(&parameters, &counters) >= 0.0);
            // From the second failure on, at every moment.
            for second in 0..3600 {
                let fails = second % seconds_between_failures == 0;
                for (index, counters) in counters.iter_mut().enumerate() {
                    let rejected = if index == 0 && fails { 1.0 } else { 0.0 };
                    counters.second(topic, deliveries_per_s, rejected);
                }
                if second >= seconds_between_failures {
                    prop_assert!(total(&parameters, &counters) < 0.0, "second {second}");
                }
            }
            // And if the failures come once a minute, it is cut off.
            if seconds_between_failures <= 60 {
                prop_assert!(total(&parameters, &counters) < BAN_THRESHOLD);
            }
        }

        #[test]
        fn a_peer_that_stops_failing_is_forgiven(
            count in 1..=SHARDS,
            failures in 1..20_u32,
        ) {
            let parameters = parameters(&topics(count));
            let topic = one(&parameters);
            let mut counters = vec![Counters::default(); count];
            counters[0].second(topic, 0.0, f64::from(failures));
            prop_assert!(total(&parameters, &counters) < 0.0);
            for _ in 0..2 * REJECTION_DECAY.as_secs() {
                for counters in &mut counters {
                    counters.second(topic, 0.0, 0.0);
                }
            }
            prop_assert!(total(&parameters, &counters) >= 0.0);
        }

        #[test]
        fn an_honest_peer_is_never_negative(
            deliveries in proptest::collection::vec(0.0..100.0_f64, 1..1000),
        ) {
            let parameters = parameters(&topics(1));
            let mut counters = [Counters::default()];
            for delivered in deliveries {
                counters[0].second(one(&parameters), delivered, 0.0);
                prop_assert!(total(&parameters, &counters) >= 0.0);
            }
        }
    }

    #[test]
    fn the_thresholds_are_valid() {
        assert_eq!(thresholds().validate(), Ok(()));
    }

    #[test]
    fn blame_of_our_own_outweighs_all_praise_and_can_ban() {
        const { assert!(blame::CORRUPT_BLOB > PRAISE_MAX && blame::FALSE_BOOK > PRAISE_MAX) };
        const { assert!(blame::MAX > PRAISE_MAX - BAN_THRESHOLD) };
    }
}
