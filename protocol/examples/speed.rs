//! Measures matching and explaining on large books; prints one JSON object.
//! `cargo run --release -p outcry-protocol --example speed`
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../tests/market/mod.rs"]
#[allow(unused)]
mod market;

use std::time::Instant;

use alloy_primitives::{Address, B256, U256, keccak256};
use market::{FLOOR, NOW, TOKEN, bid, domain, offer, signed_bid, signed_offer};
use outcry_protocol::book::{Book, Event, Fact};
use outcry_protocol::types::{Bid, Offer, Resources};

/// The n-th of a sequence of numbers that mean nothing.
fn drawn(name: &str, n: u32, below: u64) -> u64 {
    let hash = keccak256([name.as_bytes(), &n.to_be_bytes()].concat());
    u64::from_be_bytes(hash[..8].try_into().unwrap()) % below
}

fn party(name: &str, n: u32) -> Address {
    Address::from_slice(&keccak256([name.as_bytes(), &n.to_be_bytes()].concat())[12..])
}

fn book(bids: u32, offers: u32) -> Book {
    let mut book = Book::new(domain(), FLOOR);
    book.apply(Event::Block { timestamp: NOW });
    for n in 0..offers {
        let provider = party("provider", n / 4);
        book.apply(signed_offer(Offer {
            provider,
            capacityId: B256::with_last_byte((n % 4) as u8),
            slots: 1 + drawn("slots", n, 8) as u32,
            region: drawn("region", n, 8) as u8,
            attributes: U256::from(drawn("attributes", n, 16)),
            resources: Resources {
                memoryMib: 1 << (8 + drawn("memory", n, 6)),
                ..offer().resources
            },
            startFee: drawn("fee", n, 3_000).into(),
            cyclePrice: u128::from(drawn("price", n, 1_000)) * 1_000_000_000,
            memoryPrice: u128::from(drawn("memory price", n, 1_000)) * 1_000_000,
            speed: 500_000_000 + drawn("speed", n, 1_000_000_000),
            salt: U256::from(n),
            ..offer()
        }));
        for token in [TOKEN, Address::ZERO] {
            book.apply(Event::Fact {
                block: 1,
                fact: Fact::Balance {
                    account: provider,
                    token,
                    free: 1 << 60,
                },
            });
        }
    }
    for n in 0..bids {
        let buyer = party("buyer", n / 2);
        book.apply(signed_bid(Bid {
            buyer,
            priceCap: 1_000 + u128::from(drawn("cap", n, 3_000)),
            valueOfTime: drawn("value", n, 200).into(),
            regions: U256::from(1 + drawn("regions", n, 255)),
            attributes: U256::from(1u64 << drawn("bit", n, 4)),
            resources: Resources {
                memoryMib: 1 << (6 + drawn("wants", n, 7)),
                ..bid(1).resources
            },
            salt: U256::from(n),
            ..bid(1 + drawn("tasks", n, 4) as u32)
        }));
        let free = 1 << 60;
        book.apply(Event::Fact {
            block: 1,
            fact: Fact::Balance {
                account: buyer,
                token: TOKEN,
                free,
            },
        });
    }
    book
}

fn main() {
    let market = book(10_000, 10_000);
    let started = Instant::now();
    let epoch = outcry_protocol::matching::run(&market, B256::repeat_byte(1));
    let matching = started.elapsed();
    let large = book(0, 100_000);
    let wants = Bid {
        attributes: U256::from(16),
        ..bid(1)
    };
    let started = Instant::now();
    let explanation = outcry_protocol::explain::explain(&large, &wants, &market::job(1));
    let explaining = started.elapsed();
    println!(
        "{{\"matching_10k_by_10k_ms\": {}, \"matches\": {}, \"unmatched\": {}, \"explain_100k_ms\": {}, \"explained\": {}}}",
        matching.as_millis(),
        epoch.matches.len(),
        epoch.unmatched.len(),
        explaining.as_millis(),
        explanation.offers,
    );
}
