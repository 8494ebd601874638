//! Markets of a seed: what the benchmark measures and the tests clear.

use outcry_clearing::{Alternative, Entry, Key, Market, Supply};

/// What kind of market.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) orders: usize,
    pub(crate) pools: usize,
    /// Share of orders that buy in one pool and sell in another, percent.
    pub(crate) traders: u64,
    /// Share of orders that only sell, percent.
    pub(crate) sellers: u64,
    /// Divisible supply as a share of what all orders' first alternatives buy, percent.
    pub(crate) supply: i64,
}

/// SplitMix64 (Steele, Lea, Flood 2014).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform from low to high, both included.
    pub(crate) fn range(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() % (high - low + 1) as u64) as i64
    }

    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    pub(crate) fn key(&mut self) -> Key {
        let mut key = [0; 32];
        for part in key.chunks_exact_mut(8) {
            part.copy_from_slice(&self.next().to_be_bytes());
        }
        key
    }
}

/// One order of an instance: what [`Market::add_order`] takes.
#[derive(Clone)]
pub(crate) struct Order {
    pub(crate) key: Key,
    pub(crate) lots: u32,
    pub(crate) alternatives: Vec<(i64, Vec<Entry>)>,
}

/// Orders and supplies before they are a market.
#[derive(Clone)]
pub(crate) struct Instance {
    pub(crate) pools: usize,
    pub(crate) orders: Vec<Order>,
    pub(crate) supplies: Vec<Supply>,
}

/// Base units of money in one unit of [`CLASSES`]: tokens have six decimals, prices three more digits.
const MONEY: i64 = 1_000;

/// Classes of capacity: price of a unit and the largest usual quantity.
const CLASSES: [(i64, i64); 4] = [(2_000, 32), (500, 128), (90_000, 8), (120, 512)];

/// A market of regions with four classes each. Buyers want one to three classes of one region, many of
/// them in another region as well; traders move capacity of a class between regions; sellers sell what
/// they hold.
pub(crate) fn instance(shape: Shape, seed: u64) -> Instance {
    let mut random = Random(seed.wrapping_mul(0xa076_1d64_78bd_642f) ^ shape.orders as u64);
    let classes = CLASSES.len().min(shape.pools);
    let regions = (shape.pools / classes) as i64;
    let worth: Vec<i64> = (0..shape.pools)
        .map(|pool| CLASSES[pool % classes].0 * random.range(70, 140) / 100)
        .collect();
    let pool = |region: i64, class: usize| (region as usize * classes + class) as u16;
    let mut demand = vec![0_i64; shape.pools];
    let mut orders = Vec::with_capacity(shape.orders);
    for _ in 0..shape.orders {
        let kind = random.next() % 100;
        let lots = if random.percent(60) {
            1
        } else {
            random.range(2, 8) as u32
        };
        let region = random.range(0, regions - 1);
        let mut alternatives = Vec::new();
        if kind < shape.traders && regions > 1 {
            let class = random.range(0, classes as i64 - 1) as usize;
            let other = (region + random.range(1, regions - 1)) % regions;
            let bought = random.range(1, CLASSES[class].1);
            let sold = (bought * random.range(60, 140) / 100).max(1);
            let (to, from) = (pool(region, class), pool(other, class));
            let value = bought * worth[to as usize] * random.range(70, 140) / 100
                - sold * worth[from as usize];
            let entries = vec![entry(to, bought), entry(from, -sold)];
            alternatives.push((value, entries));
        } else if kind < shape.traders + shape.sellers {
            let class = random.range(0, classes as i64 - 1) as usize;
            let from = pool(region, class);
            let sold = random.range(1, CLASSES[class].1);
            let value = sold * worth[from as usize] * random.range(50, 140) / 100;
            alternatives.push((-value, vec![entry(from, -sold)]));
        } else {
            let mut wanted: Vec<(usize, i64)> = Vec::new();
            for _ in 0..random.range(1, 3) {
                let class = random.range(0, classes as i64 - 1) as usize;
                if wanted.iter().all(|w| w.0 != class) {
                    wanted.push((class, random.range(1, CLASSES[class].1)));
                }
            }
            let eager = random.range(50, 180);
            for turn in 0..random.range(1, 3.min(regions)) {
                let region = (region + turn) % regions;
                let entries: Vec<Entry> = wanted
                    .iter()
                    .map(|&(class, q)| entry(pool(region, class), q))
                    .collect();
                let cost: i64 = wanted.iter().map(|&(class, q)| CLASSES[class].0 * q).sum();
                alternatives.push((cost * (eager - random.range(0, 10)) / 100, entries));
            }
        }
        for alternative in &mut alternatives {
            alternative.0 *= MONEY;
        }
        for entry in &alternatives[0].1 {
            demand[entry.pool as usize] += i64::from(entry.quantity.max(0)) * i64::from(lots);
        }
        orders.push(Order {
            key: random.key(),
            lots,
            alternatives,
        });
    }
    let mut supplies = Vec::new();
    for (pool, &wanted) in demand.iter().enumerate() {
        let units = wanted * shape.supply / 100;
        // Reserve prices rise with utilisation.
        for (share, level) in [(50, 50), (30, 75), (20, 110)] {
            let quantity = units * share / 100;
            if quantity > 0 {
                supplies.push(Supply {
                    key: random.key(),
                    pool: pool as u16,
                    ask: worth[pool] * level / 100 * MONEY,
                    quantity,
                });
            }
        }
    }
    Instance {
        pools: shape.pools,
        orders,
        supplies,
    }
}

fn entry(pool: u16, quantity: i64) -> Entry {
    Entry {
        pool,
        quantity: quantity as i32,
    }
}

impl Instance {
    pub(crate) fn market(&self) -> Market {
        let mut market = Market::new(self.pools).unwrap();
        for supply in &self.supplies {
            market.add_supply(*supply).unwrap();
        }
        for order in &self.orders {
            add(&mut market, order);
        }
        market
    }

    /// The format of the files in `tests/data`.
    pub(crate) fn text(&self) -> String {
        use std::fmt::Write as _;
        let mut text = format!("R {}\n", self.pools);
        for (id, s) in self.supplies.iter().enumerate() {
            writeln!(text, "S {} {} {} {id}", s.pool, s.ask, s.quantity).unwrap();
        }
        for (id, order) in self.orders.iter().enumerate() {
            writeln!(text, "O {id} {} {}", order.lots, order.alternatives.len()).unwrap();
            for (limit, entries) in &order.alternatives {
                write!(text, "A {limit} {}", entries.len()).unwrap();
                for e in entries {
                    write!(text, " {}:{}", e.pool, e.quantity).unwrap();
                }
                text.push('\n');
            }
        }
        text
    }
}

/// Adds an order to a market.
pub(crate) fn add(market: &mut Market, order: &Order) {
    let alternatives: Vec<Alternative<'_>> = order
        .alternatives
        .iter()
        .map(|(limit, entries)| Alternative {
            limit: *limit,
            entries,
        })
        .collect();
    market
        .add_order(order.key, order.lots, &alternatives)
        .unwrap();
}
