//! The orders that prices can still change, with the rest folded into constants.

use alloc::vec;
use alloc::vec::Vec;

use crate::curve::Curve;
use crate::limits::PRICE_MAX;
use crate::market::{Book, Orders};
use crate::workers::Workers;

/// Fewer orders than this are not worth another thread's attention.
pub(crate) const PART_MIN: usize = 1 << 13;

/// Prices within which the folding is exact.
#[derive(Clone, Debug)]
pub(crate) struct Range {
    pub(crate) low: Vec<i64>,
    pub(crate) high: Vec<i64>,
}

impl Range {
    pub(crate) fn all(pools: usize) -> Self {
        Self {
            low: vec![0; pools],
            high: vec![PRICE_MAX; pools],
        }
    }

    fn around(centre: &[i64], radius: &[i64]) -> Self {
        Self {
            low: centre
                .iter()
                .zip(radius)
                .map(|(p, r)| (p - r).max(0))
                .collect(),
            high: centre
                .iter()
                .zip(radius)
                .map(|(p, r)| (p + r).min(PRICE_MAX))
                .collect(),
        }
    }

    pub(crate) fn clamp(&self, pool: usize, price: i64) -> i64 {
        price.clamp(self.low[pool], self.high[pool])
    }

    pub(crate) fn clamp_all(&self, prices: &mut [i64]) {
        for (pool, price) in prices.iter_mut().enumerate() {
            *price = self.clamp(pool, *price);
        }
    }
}

/// Which orders at which prices.
pub(crate) struct View<'a> {
    /// Every so-manieth order.
    pub(crate) stride: usize,
    pub(crate) centre: &'a [i64],
    /// How far prices may be from the centre.
    pub(crate) radius: &'a [i64],
    pub(crate) scales: &'a [i64],
    /// Widest smoothing, as a share 2^-width of an order's gross value.
    pub(crate) width: u32,
}

/// A market as the descent sees it.
pub(crate) struct Scene {
    pub(crate) orders: Orders,
    /// Which order of the book each is.
    pub(crate) ids: Vec<u32>,
    /// Which alternative of the book each is.
    pub(crate) tags: Vec<u32>,
    /// Demand and limits of the orders that were folded because they take the same alternative at
    /// all prices of the range.
    demand: Vec<i64>,
    pub(crate) limits: i128,
    pub(crate) curves: Vec<Curve>,
    pub(crate) range: Range,
    /// Largest gross value of a lot of each order at the market's scales.
    pub(crate) gross: Vec<i64>,
    /// Orders that sit out a round of PEEL; empty: nobody does.
    pub(crate) off: Vec<bool>,
}

/// One part of a sum over orders.
struct Part {
    from: usize,
    to: usize,
    demand: Vec<i64>,
    value: i128,
}

impl Scene {
    /// Every `stride`-th order of the book, with as much less supply, at any price.
    pub(crate) fn sample(book: &Book, stride: usize, scales: &[i64]) -> Self {
        let range = Range::all(book.pools);
        if stride == 1 {
            return Self {
                ids: (0..book.orders.len() as u32).collect(),
                tags: (0..book.orders.limits.len() as u32).collect(),
                orders: book.orders.clone(),
                demand: vec![0; book.pools],
                limits: 0,
                curves: book.curves.clone(),
                range,
                gross: (0..book.orders.len())
                    .map(|o| gross(&book.orders, o, scales))
                    .collect(),
                off: Vec::new(),
            };
        }
        let mut scene = Self::empty(book, stride, range);
        for order in (0..book.orders.len()).step_by(stride) {
            scene.take(book, order, gross(&book.orders, order, scales), |_| true);
        }
        scene
    }

    /// The same within a view: orders and alternatives whose choice can't change there are folded.
    pub(crate) fn screened<W: Workers>(book: &Book, view: &View<'_>, workers: &W) -> Self {
        struct Slice {
            from: usize,
            to: usize,
            scene: Scene,
        }
        let range = Range::around(view.centre, view.radius);
        let picked = (book.orders.len() + view.stride - 1) / view.stride;
        let mut slices: Vec<Slice> = spans(picked, workers.width().min(picked / PART_MIN))
            .map(|(from, to)| Slice {
                from,
                to,
                scene: Self::empty(book, view.stride, range.clone()),
            })
            .collect();
        workers.each(&mut slices, &|slice: &mut Slice| {
            let mut bounds: Vec<(i64, i64)> = Vec::new();
            for order in (slice.from..slice.to).map(|i| i * view.stride) {
                slice.scene.fold_or_take(book, order, view, &mut bounds);
            }
        });
        let mut slices = slices.into_iter();
        let mut whole = match slices.next() {
            Some(first) => first.scene,
            None => Self::empty(book, view.stride, range),
        };
        for slice in slices {
            whole.append(slice.scene);
        }
        whole
    }

    fn empty(book: &Book, stride: usize, range: Range) -> Self {
        let curves = if stride == 1 {
            book.curves.clone()
        } else {
            let scaled = |curve: &Curve| curve.scaled(stride as i64);
            book.curves.iter().map(scaled).collect()
        };
        Self {
            orders: Orders::new(),
            ids: Vec::new(),
            tags: Vec::new(),
            demand: vec![0; book.pools],
            limits: 0,
            curves,
            range,
            gross: Vec::new(),
            off: Vec::new(),
        }
    }

    fn append(&mut self, other: Self) {
        for order in 0..other.orders.len() {
            for alternative in other.orders.of(order) {
                self.orders.push_alternative(
                    other.orders.limits[alternative],
                    other.orders.bundle(alternative),
                );
                self.tags.push(other.tags[alternative]);
            }
            self.orders.close(other.orders.lots[order]);
            self.ids.push(other.ids[order]);
            self.gross.push(other.gross[order]);
        }
        for (ours, theirs) in self.demand.iter_mut().zip(&other.demand) {
            *ours += theirs;
        }
        self.limits += other.limits;
    }

    fn take(&mut self, book: &Book, order: usize, gross: i64, keep: impl Fn(usize) -> bool) {
        self.gross.push(gross);
        for (place, alternative) in book.orders.of(order).enumerate() {
            if keep(place) {
                self.orders.push_alternative(
                    book.orders.limits[alternative],
                    book.orders.bundle(alternative),
                );
                self.tags.push(alternative as u32);
            }
        }
        self.orders.close(book.orders.lots[order]);
        self.ids.push(order as u32);
    }

    fn fold_or_take(
        &mut self,
        book: &Book,
        order: usize,
        view: &View<'_>,
        bounds: &mut Vec<(i64, i64)>,
    ) {
        let gross = gross(&book.orders, order, view.scales);
        let (centre, radius) = (view.centre, view.radius);
        // Least and most surplus of each alternative within the range. A radius is at most
        // PRICE_MAX, so that the bounds stay within 64 bits when they saturate.
        bounds.clear();
        let mut sure = 0;
        for alternative in book.orders.of(order) {
            let mut surplus = book.orders.limits[alternative];
            let mut swing: i64 = 0;
            for entry in book.orders.bundle(alternative) {
                let pool = entry.pool as usize;
                surplus -= i64::from(entry.quantity) * centre[pool];
                swing += i64::from(entry.quantity.abs()) * radius[pool];
            }
            let (least, most) = (surplus.saturating_sub(swing), surplus.saturating_add(swing));
            sure = sure.max(least);
            bounds.push((least, most));
        }
        // An alternative whose most is below another's least, or below nothing, is never taken.
        // The same holds of gradual choices of this width.
        let margin = (gross >> view.width) + 1;
        let possible =
            |bound: &(i64, i64)| bound.1 > -margin && bound.1 >= sure.saturating_sub(margin);
        let alternatives = bounds.iter().filter(|b| possible(b)).count();
        if alternatives == 0 {
            return;
        }
        let (place, least) = bounds
            .iter()
            .enumerate()
            .find(|(_, b)| possible(b))
            .map_or((0, 0), |(place, b)| (place, b.0));
        if alternatives == 1 && least > margin {
            let alternative = book.orders.of(order).start + place;
            let lots = i64::from(book.orders.lots[order]);
            self.limits += i128::from(lots) * i128::from(book.orders.limits[alternative]);
            for entry in book.orders.bundle(alternative) {
                self.demand[entry.pool as usize] += lots * i64::from(entry.quantity);
            }
            return;
        }
        self.take(book, order, gross, |place| possible(&bounds[place]));
    }

    pub(crate) fn pools(&self) -> usize {
        self.demand.len()
    }

    /// Into how many powers of two all orders' lots are split.
    pub(crate) fn blocks(&self) -> usize {
        let bits = |lots: &u32| (32 - lots.leading_zeros()) as usize;
        self.orders.lots.iter().map(bits).sum()
    }

    /// Demand of the folded orders.
    pub(crate) fn folded(&self) -> &[i64] {
        &self.demand
    }

    pub(crate) fn is_off(&self, order: usize) -> bool {
        self.off.get(order).copied().unwrap_or(false)
    }

    /// The dual at these prices, and each pool's net demand when every order takes its best.
    ///
    /// L(p) = sum over orders of lots * max(0, best limit - p·q) + sum over supply of
    /// quantity * max(0, p - ask): at any p >= 0 no allocation can be worth more.
    pub(crate) fn dual<W: Workers>(&self, prices: &[i64], demand: &mut [i64], workers: &W) -> i128 {
        let value = self.constant(prices);
        demand.copy_from_slice(&self.demand);
        let count = self.orders.len();
        let width = workers.width().min(count / PART_MIN);
        if width <= 1 {
            return value + self.choose(0, count, prices, demand);
        }
        let mut parts: Vec<Part> = spans(count, width)
            .map(|(from, to)| Part {
                from,
                to,
                demand: vec![0; demand.len()],
                value: 0,
            })
            .collect();
        workers.each(&mut parts, &|part: &mut Part| {
            part.value = self.choose(part.from, part.to, prices, &mut part.demand);
        });
        let mut value = value;
        for part in parts {
            value += part.value;
            for (sum, own) in demand.iter_mut().zip(part.demand) {
                *sum += own;
            }
        }
        value
    }

    /// What folded orders and supply add to the dual.
    pub(crate) fn constant(&self, prices: &[i64]) -> i128 {
        let mut value = self.limits;
        for (pool, &folded) in self.demand.iter().enumerate() {
            value -= i128::from(folded) * i128::from(prices[pool]);
            value += self.curves[pool].rent(prices[pool]);
        }
        value
    }

    /// Units of each pool that all orders and supplies name together: more than its demand or supply
    /// can be.
    pub(crate) fn volume(&self) -> Vec<i128> {
        let mut volume: Vec<i128> = self
            .curves
            .iter()
            .zip(&self.demand)
            .map(|(curve, folded)| i128::from(curve.total()) + i128::from(folded.unsigned_abs()))
            .collect();
        for order in 0..self.orders.len() {
            let lots = i128::from(self.orders.lots[order]);
            for alternative in self.orders.of(order) {
                for entry in self.orders.bundle(alternative) {
                    volume[entry.pool as usize] += lots * i128::from(entry.quantity.unsigned_abs());
                }
            }
        }
        volume
    }

    fn choose(&self, from: usize, to: usize, prices: &[i64], demand: &mut [i64]) -> i128 {
        let mut value = 0;
        for order in from..to {
            if self.is_off(order) {
                continue;
            }
            if let Some((alternative, surplus)) = self.orders.best(order, prices) {
                let lots = i64::from(self.orders.lots[order]);
                value += i128::from(surplus) * i128::from(lots);
                for entry in self.orders.bundle(alternative) {
                    demand[entry.pool as usize] += i64::from(entry.quantity) * lots;
                }
            }
        }
        value
    }

    /// Demand less supply: what is missing beyond all units asked for at most the price, or negative
    /// what is left of those asked for less. At a price of zero nothing is left over.
    pub(crate) fn excess(&self, pool: usize, price: i64, demand: i64) -> i64 {
        let curve = &self.curves[pool];
        let short = demand - curve.within(price);
        if short > 0 {
            return short;
        }
        let left = curve.below(price) - demand;
        if left > 0 && price > 0 {
            return -left;
        }
        0
    }
}

/// Largest value of a lot's alternatives, either way, at the scales.
fn gross(orders: &Orders, order: usize, scales: &[i64]) -> i64 {
    orders
        .of(order)
        .map(|a| {
            let bundle = orders.bundle(a);
            bundle
                .iter()
                .map(|e| i64::from(e.quantity.abs()) * scales[e.pool as usize])
                .sum::<i64>()
        })
        .max()
        .unwrap_or(0)
}

/// `count` things in `width` spans of nearly equal length.
pub(crate) fn spans(count: usize, width: usize) -> impl Iterator<Item = (usize, usize)> {
    let width = width.clamp(1, count.max(1));
    (0..width).map(move |i| (count * i / width, count * (i + 1) / width))
}

/// Which orders or alternatives of a scene name each pool.
pub(crate) struct Touching {
    indices: Vec<u32>,
    from: Vec<u32>,
}

impl Touching {
    /// Orders, each once a pool, in the order of the scene.
    pub(crate) fn orders(scene: &Scene) -> Self {
        let mut last: Vec<u32> = vec![u32::MAX; scene.pools()];
        Self::of(scene.pools(), |visit| {
            last.fill(u32::MAX);
            for order in 0..scene.orders.len() {
                for alternative in scene.orders.of(order) {
                    for entry in scene.orders.bundle(alternative) {
                        let pool = entry.pool as usize;
                        if last[pool] != order as u32 {
                            last[pool] = order as u32;
                            visit(pool, order as u32);
                        }
                    }
                }
            }
        })
    }

    /// Alternatives that pass.
    pub(crate) fn alternatives(scene: &Scene, passes: impl Fn(usize) -> bool) -> Self {
        Self::of(scene.pools(), |visit| {
            for alternative in (0..scene.orders.limits.len()).filter(|&a| passes(a)) {
                for entry in scene.orders.bundle(alternative) {
                    visit(entry.pool as usize, alternative as u32);
                }
            }
        })
    }

    fn of(pools: usize, mut each: impl FnMut(&mut dyn FnMut(usize, u32))) -> Self {
        let mut from = vec![0_u32; pools + 1];
        each(&mut |pool, _| from[pool + 1] += 1);
        for pool in 0..pools {
            from[pool + 1] += from[pool];
        }
        let mut indices = vec![0; from[pools] as usize];
        let mut next = from.clone();
        each(&mut |pool, index| {
            indices[next[pool] as usize] = index;
            next[pool] += 1;
        });
        Self { indices, from }
    }

    pub(crate) fn of_pool(&self, pool: usize) -> &[u32] {
        &self.indices[self.from[pool] as usize..self.from[pool + 1] as usize]
    }
}
