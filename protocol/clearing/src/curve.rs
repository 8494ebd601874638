//! The supply of one pool, cheapest first.

use alloc::vec::Vec;

/// Steps of ascending ask with running totals.
#[derive(Clone, Debug, Default)]
pub(crate) struct Curve {
    asks: Vec<i64>,
    /// Units up to and including step i.
    units: Vec<i64>,
    /// What they cost at their asks.
    costs: Vec<i128>,
}

impl Curve {
    /// Appends a step; asks must not fall.
    pub(crate) fn push(&mut self, ask: i64, quantity: i64) {
        let cost = i128::from(ask) * i128::from(quantity);
        self.units.push(self.total() + quantity);
        self.costs
            .push(self.costs.last().copied().unwrap_or(0) + cost);
        self.asks.push(ask);
    }

    /// The curve of a market `divisor` times smaller. Steps that vanish are left out.
    pub(crate) fn scaled(&self, divisor: i64) -> Self {
        let mut scaled = Self::default();
        for (&ask, &units) in self.asks.iter().zip(&self.units) {
            let quantity = units / divisor - scaled.total();
            if quantity > 0 {
                scaled.push(ask, quantity);
            }
        }
        scaled
    }

    pub(crate) fn total(&self) -> i64 {
        self.units.last().copied().unwrap_or(0)
    }

    /// Mean ask of a unit, if there is any.
    pub(crate) fn mean_ask(&self) -> Option<i64> {
        let cost = self.costs.last()?;
        Some((cost / i128::from(self.total())) as i64)
    }

    pub(crate) fn lowest_ask(&self) -> Option<i64> {
        self.asks.first().copied()
    }

    fn up_to(&self, steps: usize) -> i64 {
        match steps {
            0 => 0,
            n => self.units[n - 1],
        }
    }

    /// Units whose ask is below the price.
    pub(crate) fn below(&self, price: i64) -> i64 {
        self.up_to(self.asks.partition_point(|&ask| ask < price))
    }

    /// Units whose ask is at most the price.
    pub(crate) fn within(&self, price: i64) -> i64 {
        self.up_to(self.asks.partition_point(|&ask| ask <= price))
    }

    /// What the sellers gain at this price: the sum of (price - ask) over units asked for less.
    pub(crate) fn rent(&self, price: i64) -> i128 {
        match self.asks.partition_point(|&ask| ask < price) {
            0 => 0,
            n => i128::from(price) * i128::from(self.units[n - 1]) - self.costs[n - 1],
        }
    }

    /// The step that contains the last of `units`, 0 < units <= total.
    fn step_of(&self, units: i64) -> usize {
        self.units.partition_point(|&so_far| so_far < units)
    }

    /// What `units` cost at their asks, cheapest first; `units` must not exceed the total.
    pub(crate) fn cost(&self, units: i64) -> i128 {
        if units <= 0 {
            return 0;
        }
        let step = self.step_of(units);
        let excess = self.units[step] - units;
        self.costs[step] - i128::from(self.asks[step]) * i128::from(excess)
    }

    /// The ask of the last of `units`; none if there are none.
    pub(crate) fn marginal_ask(&self, units: i64) -> Option<i64> {
        if units <= 0 {
            return None;
        }
        self.asks.get(self.step_of(units)).copied()
    }

    /// What is lost at this price against the dual if orders take `units`: rent of what is not sold,
    /// asks above the price of what is; `None` if there is not so much.
    pub(crate) fn loss(&self, price: i64, units: i64) -> Option<i128> {
        if units > self.total() {
            return None;
        }
        Some(self.rent(price) - (i128::from(price) * i128::from(units) - self.cost(units)))
    }
}
