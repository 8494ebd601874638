//! Vectors of the auction: orders under all their hashes, a cleared round with its tree, results that
//! are false and the group that shows it, payments, payouts.

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::SolValue;
use outcry_clearing::Alone;
use outcry_protocol::auction::calendar::Term;
use outcry_protocol::auction::outcome::Place;
use outcry_protocol::auction::settle::{self, Stream};
use outcry_protocol::auction::verify::Fault;
use outcry_protocol::auction::{
    Alternative, AuctionOrder, Backing, Entry, Outcome, Pool, clear, order, verify,
};
use outcry_protocol::limits::{
    AUCTION_COST_MAX, AUCTION_LIMIT_MAX, AUCTION_LOTS_MAX, AUCTION_QUANTITY_MAX,
};
use serde_json::{Value, json};

use super::{hexed, key, word};

const ROUND: u64 = 5;
const DEPOSIT_MIN: u128 = 1_000;

fn pools() -> Vec<Pool> {
    let pool = |region, unit_deposit| Pool {
        region,
        memoryMib: 4096,
        diskMib: 16_384,
        egressMib: 1024,
        attributes: U256::from(0b101),
        speed: 1_000_000_000,
        unitDeposit: unit_deposit,
        machineVersion: 1,
    };
    vec![pool(0, 400), pool(1, 1), pool(7, 90_000)]
}

fn order_of(
    name: &str,
    backing: Backing,
    lots: u32,
    alternatives: &[(i64, &[(u16, i32)])],
) -> AuctionOrder {
    let alternatives = alternatives.iter().map(|(limit, entries)| Alternative {
        limit: *limit,
        entries: entries
            .iter()
            .map(|&(pool, quantity)| Entry { pool, quantity })
            .collect(),
    });
    AuctionOrder {
        account: key(name).address,
        backing,
        lots,
        alternatives: alternatives.collect(),
        salt: word(&format!("salt.{name}")),
    }
}

/// Buyers, two curves, new capacity in bundles and a trader; more fills than one group has.
fn orders() -> Vec<AuctionOrder> {
    let mut orders = vec![
        order_of("curve", Backing::Curve, 40, &[(-1_000, &[(0, -1)])]),
        order_of("small curve", Backing::Curve, 3, &[(-777, &[(1, -1)])]),
        order_of(
            "capacity",
            Backing::Capacity,
            4,
            &[
                (-9_000, &[(1, -5)]),
                (-24_000, &[(0, -4), (1, -4), (2, -2)]),
            ],
        ),
        order_of(
            "trader",
            Backing::Holdings,
            2,
            &[(1_500, &[(0, 2), (1, -1)])],
        ),
        order_of("poor", Backing::Holdings, 1, &[(900, &[(0, 1)])]),
        order_of("dear", Backing::Capacity, 1, &[(-1_000_000, &[(2, -1)])]),
    ];
    for i in 0..20_i64 {
        let name = format!("buyer {i}");
        // One that gets nothing, so that its index lies between two groups.
        let limit = if i == 14 { 7 } else { 1_500 + 37 * i };
        orders.push(order_of(
            &name,
            Backing::Holdings,
            1 + (i % 3) as u32,
            &[
                (limit, &[(0, 1)]),
                (limit + 900, &[(1, 1)]),
                (2 * limit + 500, &[(0, 1), (1, 1)]),
            ],
        ));
    }
    orders.push(order_of("late", Backing::Holdings, 1, &[(1, &[(2, 1)])]));
    orders
}

fn largest() -> AuctionOrder {
    let entries: Vec<(u16, i32)> = (0..8).map(|pool| (pool, -AUCTION_QUANTITY_MAX)).collect();
    let mut order = order_of(
        "largest",
        Backing::Capacity,
        AUCTION_LOTS_MAX,
        &[(AUCTION_LIMIT_MAX, &entries)],
    );
    order.alternatives = vec![order.alternatives[0].clone(); 8];
    order
}

fn order_row(name: &str, round: u64, index: u16, order: &AuctionOrder) -> Value {
    json!({
        "name": name,
        "message": order,
        "encoded": hexed(order.abi_encode()),
        "round": round,
        "index": index,
        "commitment": order::commitment(round, order),
        "leaf": order::leaf(round, index, order),
        "deposit": order::deposit(order, &pools(), DEPOSIT_MIN).to_string(),
    })
}

fn refused() -> Vec<Value> {
    let base = || order_of("refused", Backing::Holdings, 1, &[(5, &[(0, 1), (2, -1)])]);
    let with = |name: &str, change: &dyn Fn(&mut AuctionOrder)| {
        let mut order = base();
        change(&mut order);
        let error = order::check(&order, pools().len()).unwrap_err();
        json!({
            "name": name,
            "encoded": hexed(order.abi_encode()),
            "error": format!("{error:?}"),
        })
    };
    vec![
        with("no lot", &|o| o.lots = 0),
        with("too many lots", &|o| o.lots = AUCTION_LOTS_MAX + 1),
        with("no alternative", &|o| o.alternatives.clear()),
        with("too many alternatives", &|o| {
            o.alternatives = vec![o.alternatives[0].clone(); 9];
        }),
        with("no entry", &|o| o.alternatives[0].entries.clear()),
        with("a pool twice", &|o| o.alternatives[0].entries[1].pool = 0),
        with("pools descend", &|o| o.alternatives[0].entries.swap(0, 1)),
        with("an unknown pool", &|o| {
            o.alternatives[0].entries[1].pool = 3
        }),
        with("quantity 0", &|o| o.alternatives[0].entries[0].quantity = 0),
        with("quantity too large", &|o| {
            o.alternatives[0].entries[0].quantity = AUCTION_QUANTITY_MAX + 1;
        }),
        with("least quantity", &|o| {
            o.alternatives[0].entries[0].quantity = i32::MIN;
        }),
        with("limit too large", &|o| {
            o.alternatives[0].limit = AUCTION_LIMIT_MAX + 1;
        }),
        with("least limit", &|o| o.alternatives[0].limit = i64::MIN),
        with("a curve of bundles", &|o| o.backing = Backing::Curve),
        with("a curve that costs too much", &|o| {
            *o = order_of(
                "refused",
                Backing::Curve,
                1,
                &[(-AUCTION_COST_MAX - 1, &[(0, -1)])],
            );
        }),
    ]
}

fn result_row(result: &Outcome) -> Value {
    let groups: Vec<Value> = (0..result.groups.len())
        .map(|index| {
            let proof = result.prove(index).unwrap();
            json!({
                "group": result.groups[index],
                "leaf": Outcome::leaf(&proof.group),
                "proof": hexed(proof.abi_encode()),
            })
        })
        .collect();
    json!({
        "prices": result.prices.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "pricesHash": result.prices_hash(),
        "encoded": hexed((result.prices.clone(), result.groups.clone()).abi_encode_params()),
        "groups": groups,
        "fillsHash": result.fills_hash(),
        "root": result.root(),
        "welfare": result.welfare().to_string(),
        "volume": result.volume().to_string(),
    })
}

/// Results that the contract stores and that one of their groups disproves.
fn false_results(orders: &[AuctionOrder], good: &Outcome) -> Vec<Value> {
    let with = |name: &str, change: &dyn Fn(&mut Outcome)| {
        let mut result = good.clone();
        change(&mut result);
        let fault = verify(orders, pools().len(), &result).unwrap_err();
        let Fault::Group { group, wrong } = fault else {
            unreachable!("{name}: {fault}")
        };
        let shown = verify::disproof(&result, orders.len(), group).unwrap();
        json!({
            "name": name,
            "wrong": format!("{wrong:?}"),
            "encoded": hexed((result.prices.clone(), result.groups.clone()).abi_encode_params()),
            "group": group,
            "before": hexed(shown.before.abi_encode()),
            "proof": hexed(shown.group.abi_encode()),
            "orders": shown.orders,
        })
    };
    let last = |result: &mut Outcome| result.groups.len() - 1;
    vec![
        with("welfare too high", &|r| {
            for group in &mut r.groups {
                group.welfare += 1;
            }
        }),
        with("welfare too high from the second group on", &|r| {
            let at = last(r);
            r.groups[at].welfare += 1;
        }),
        with("volume too low", &|r| {
            for group in &mut r.groups {
                group.volume -= 1;
            }
        }),
        with("a surplus in between", &|r| r.groups[0].surplus[0] += 1),
        with("a price below an ask", &|r| r.prices[0] = 1),
        with("a price above a limit", &|r| r.prices[0] = 1 << 30),
        with("an order that was not revealed", &|r| {
            let at = last(r);
            if let Some(fill) = r.groups[at].fills.last_mut() {
                fill.order = 400;
            }
        }),
        with("an alternative that does not exist", &|r| {
            r.groups[0].fills[0].alternative = 255;
        }),
        with("more lots than the order has", &|r| {
            r.groups[0].fills[0].lots += 1_000;
        }),
        with("the most lots that can be written", &|r| {
            r.groups[0].fills[0].lots = u32::MAX;
        }),
        with("no lot", &|r| r.groups[0].fills[0].lots = 0),
        with("an order twice", &|r| {
            let fill = r.groups[0].fills[0].clone();
            r.groups[0].fills[1] = fill;
        }),
        with("fills that descend", &|r| r.groups[0].fills.swap(0, 1)),
        with("groups that overlap", &|r| {
            let fill = r.groups[0].fills[0].clone();
            let at = last(r);
            r.groups[at].fills[0] = fill;
        }),
        with("sums as large as can be written", &|r| {
            r.groups[0].welfare = i128::MAX;
            r.groups[0].volume = u128::MAX;
            r.groups[0].surplus[0] = i64::MIN;
        }),
    ]
}

fn round_file() -> Value {
    let orders = orders();
    let leaves: Vec<B256> = (0..)
        .zip(&orders)
        .map(|(index, order)| order::leaf(ROUND, index, order))
        .collect();
    let cleared = clear(&orders, pools().len(), &Alone).unwrap();
    let result = cleared.outcome;
    assert_eq!(verify(&orders, pools().len(), &result), Ok(()));
    assert!(result.groups.len() > 1);
    let seed = order::seed(orders.iter().map(order::digest));
    let rows: Vec<Value> = (0..)
        .zip(&orders)
        .map(|(index, order)| {
            let fills = result.fills_of(index);
            let mut row = order_row(&format!("order {index}"), ROUND, index, order);
            let (is_filled, place) = match result.place(index) {
                Place::In(group) => (true, vec![group]),
                Place::Outside(around) => (false, around),
            };
            row["digest"] = json!(order::digest(order));
            row["key"] = json!(order::key(order::digest(order), seed));
            row["paid"] = json!(settle::payment(order, fills, &result.prices).to_string());
            row["isFilled"] = json!(is_filled);
            row["groups"] = json!(place);
            row
        })
        .collect();
    json!({
        "round": ROUND,
        "orders": rows,
        "ordersHash": order::orders_hash(leaves),
        "seed": seed,
        "result": result_row(&result),
        "false": false_results(&orders, &result),
    })
}

fn payouts() -> Vec<Value> {
    let row = |left: u128, intervals: u16, paid: u16, over: u64, fee_bps: u16| {
        let term = Term {
            season: 0,
            from: 10,
            intervals,
        };
        let (payout, after) = Stream { term, paid, left }.earn(term.from + over, fee_bps);
        json!({
            "left": left.to_string(), "intervals": intervals, "paid": paid, "over": over,
            "feeBps": fee_bps,
            "amount": payout.amount.to_string(), "fee": payout.fee.to_string(),
            "leftAfter": after.left.to_string(), "paidAfter": after.paid,
        })
    };
    vec![
        row(1_000, 10, 0, 0, 100),
        row(1_000, 10, 0, 1, 100),
        row(1_000, 3, 0, 1, 250),
        row(1_000, 3, 0, 2, 250),
        row(667, 3, 1, 2, 250),
        row(1_000, 3, 2, 3, 0),
        row(1_000, 3, 0, 99, 10_000),
        row(u128::from(u64::MAX) << 50, 1024, 1, 1023, 77),
        row(5, 1024, 0, 1023, 77),
        row(5, 1024, 0, 1024, 77),
    ]
}

pub(super) fn file() -> Value {
    let odd = [
        order_of(
            "curve",
            Backing::Curve,
            1,
            &[(-AUCTION_COST_MAX, &[(2, -1)])],
        ),
        order_of(
            "both",
            Backing::Capacity,
            3,
            &[(10, &[(0, 2), (1, -2)]), (-7, &[(2, -1)])],
        ),
        order_of("free", Backing::Holdings, 1, &[(0, &[(0, -1)])]),
        AuctionOrder {
            account: Address::ZERO,
            ..order_of(
                "blind",
                Backing::Holdings,
                2,
                &[(-5, &[(0, -1)]), (3, &[(1, 1)])],
            )
        },
    ];
    let rows: Vec<Value> = odd
        .iter()
        .map(|order| order_row("odd", u64::MAX, u16::MAX, order))
        .collect();
    let asks: Vec<Value> = [
        (1_000_i64, 40_u32, 40_u32),
        (1_000, 40, 5),
        (1_000, 40, 6),
        (777, 3, 1),
        (777, 3, 3),
        (1, 7, 7),
        (1, 9, 5),
        (0, 8, 8),
        (AUCTION_COST_MAX, AUCTION_LOTS_MAX, AUCTION_LOTS_MAX),
        (AUCTION_COST_MAX, AUCTION_LOTS_MAX - 1, AUCTION_LOTS_MAX / 3),
    ]
    .into_iter()
    .map(|(cost, lots, used)| {
        let (sum, dearest) = order::asks(cost, lots, used);
        json!({
            "cost": cost.to_string(), "lots": lots, "used": used,
            "sum": sum.to_string(), "dearest": dearest.to_string(),
        })
    })
    .collect();
    let largest = largest();
    json!({
        "askTable": order::ASK_TABLE,
        "pools": pools(),
        "poolsEncoded": hexed(pools().abi_encode()),
        "depositMin": DEPOSIT_MIN.to_string(),
        "asks": asks,
        "orders": rows,
        // Of an auction with eight pools or more.
        "largest": {
            "encoded": hexed(largest.abi_encode()),
            "commitment": order::commitment(u64::MAX, &largest),
        },
        "refused": refused(),
        "round": round_file(),
        "payouts": payouts(),
    })
}
