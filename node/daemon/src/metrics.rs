//! Counters in base units, for `/metrics`.

use std::fmt::Write as _;
use std::sync::Mutex;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::admission::Admission;

/// What a node counts beside what its network counts.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    /// Number of the last applied block.
    pub block: Gauge,
    /// Unix seconds of that block.
    pub block_timestamp: Gauge,
    /// Live bids in the book.
    pub bids: Gauge,
    /// Live offers in the book.
    pub offers: Gauge,
    /// Own games about claims that run.
    pub games: Gauge,
    /// Activities started.
    pub activities: Counter,
    /// Activities that failed and are repeated.
    pub failures: Counter,
    /// Tasks that halted with a result.
    pub tasks: Counter,
    /// RPC endpoints that took over from one that did not answer.
    pub rpc_switches: Counter,
}

impl Metrics {
    /// Registers everything in `registry`, which may hold metrics of other parts. `rpc_switches`
    /// counts from before there is a node.
    #[must_use]
    pub fn new(mut registry: Registry, rpc_switches: Counter, admission: &Admission) -> Self {
        let metrics = Self {
            registry: Mutex::default(),
            block: Gauge::default(),
            block_timestamp: Gauge::default(),
            bids: Gauge::default(),
            offers: Gauge::default(),
            games: Gauge::default(),
            activities: Counter::default(),
            failures: Counter::default(),
            tasks: Counter::default(),
            rpc_switches,
        };
        let mut gauge =
            |name: &str, help: &str, gauge: &Gauge| registry.register(name, help, gauge.clone());
        gauge(
            "outcry_block_number",
            "Number of the last applied block",
            &metrics.block,
        );
        gauge(
            "outcry_block_timestamp_seconds",
            "Unix time of the last applied block",
            &metrics.block_timestamp,
        );
        gauge("outcry_book_bids", "Bids in the book", &metrics.bids);
        gauge("outcry_book_offers", "Offers in the book", &metrics.offers);
        gauge(
            "outcry_games_running",
            "Games about claims in which this node is a party and that run",
            &metrics.games,
        );
        let mut counter = |name: &str, help: &str, counter: &Counter| {
            registry.register(name, help, counter.clone())
        };
        counter(
            "outcry_orders_accepted",
            "Orders from peers that were accepted",
            &admission.accepted,
        );
        counter(
            "outcry_orders_refused",
            "Orders from peers that were refused",
            &admission.refused,
        );
        counter(
            "outcry_activities",
            "Activities started",
            &metrics.activities,
        );
        counter(
            "outcry_activity_failures",
            "Activities that failed",
            &metrics.failures,
        );
        counter(
            "outcry_tasks_halted",
            "Tasks that halted with a result",
            &metrics.tasks,
        );
        counter(
            "outcry_rpc_switches",
            "RPC endpoints that took over from one that did not answer",
            &metrics.rpc_switches,
        );
        Self {
            registry: Mutex::new(registry),
            ..metrics
        }
    }

    /// The text format that Prometheus reads.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let registry = self
            .registry
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if encode(&mut text, &registry).is_err() {
            let _ = writeln!(text, "# the metrics can't be encoded");
        }
        text
    }
}
