//! The one key space: which records exist, and the key of each.
//!
//! A key is one table byte followed by fixed-width fields, integers big-endian, so that a scan
//! returns records in the order of their fields and a prefix is a whole number of fields. The
//! value's encoding belongs to the module that owns the table.

use std::fmt;

/// The tables. A number, once released, is never given to another table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Table {
    /// The schema version: one record.
    Schema = 0x00,
    /// Single records of the node, by name: identity, settings that must survive.
    Singleton = 0x01,
    /// Next order number of an account.
    OrderSequence = 0x02,
    /// Capacity that a signed order or a deal has taken, by order hash and position.
    Reservation = 0x03,

    /// A block up to which effects are applied, and what undoes them, by number.
    Checkpoint = 0x11,
    /// Chain intents that have no nonce yet.
    Outbox = 0x12,
    /// Chain intents that have a nonce, with every raw transaction of theirs.
    Transaction = 0x13,
    /// Gas used, per kind of intent.
    GasUse = 0x14,

    /// Bids, by order hash.
    Bid = 0x20,
    /// Offers, by order hash.
    Offer = 0x21,
    /// Jobs, by the hash of their bid.
    Job = 0x22,
    /// Deals, by deal id.
    Deal = 0x23,
    /// Index: the deals of a bid.
    DealOfBid = 0x24,
    /// What happened to a job, by bid hash and sequence number.
    JobEvent = 0x25,
    /// The result of one task of a deal.
    TaskResult = 0x26,
    /// Balances on the market, by token and account.
    Account = 0x27,
    /// Signatures that await a settlement batch, by deal id.
    Settlement = 0x28,
    /// Index: deals by the second at which something is due.
    Due = 0x29,
    /// Cleared trades, by block and log index.
    Trade = 0x2a,
    /// Orders and counters cancelled on chain, by account and salt.
    Cancelled = 0x2b,
    /// What a verifier found about a claim, by deal id.
    Finding = 0x2c,

    /// A buyer's word that it holds the output of one task of a deal.
    Receipt = 0x2d,
    /// Prices and volume of settled deals, by interval, token, region and class.
    Candle = 0x2e,

    /// Blobs on disk, by BLAKE3.
    Blob = 0x30,

    /// Checkpoints of a trace, by claim and position.
    Trace = 0x40,
    /// Games about claims, by game id.
    Dispute = 0x41,
    /// Audits, by claim hash.
    Audit = 0x42,
    /// Beacons that draw audits, by period.
    Beacon = 0x43,
    /// Seats of those who audit, by account.
    AuditSeat = 0x44,
    /// What this node found in an audit, by claim hash.
    AuditFinding = 0x45,

    /// Jobs drawn on this node's reserved capacity, by draw.
    Draw = 0x50,
    /// Rounds of the auction, by number.
    Round = 0x51,
}

/// The full key of one record.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Vec<u8>);

/// What several keys have in common: a table, or a table and its first fields.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Prefix(Vec<u8>);

impl Key {
    /// The encoded key.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The fields that follow `prefix`, or `None` when the key does not lie under it.
    pub fn after(&self, prefix: &Prefix) -> Option<&[u8]> {
        self.0.strip_prefix(prefix.as_bytes())
    }

    /// The key that was encoded as these bytes; for adapters, and for records that list keys.
    pub fn from_bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }
}

impl Prefix {
    /// The encoded prefix.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Everything in `table`.
    pub fn table(table: Table) -> Self {
        Self(vec![table as u8])
    }

    /// One more field of bytes. Fields of one table have one width each, see the constructors.
    fn field(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn key(self) -> Key {
        Key(self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)?;
        f.write_str("…")
    }
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// A 32-byte hash: order hash, deal id, intent id, BLAKE3.
pub type Hash = [u8; 32];
/// A 20-byte account or contract address.
pub type Address = [u8; 20];

/// Defines the constructor of one table's key, and those of its useful prefixes.
macro_rules! keys {
    ($( $(#[$doc:meta])* $name:ident ( $($field:ident : $type:ty),* ) in $table:ident; )*) => {
        $( $(#[$doc])* pub fn $name($($field: $type),*) -> Key {
            Prefix::table(Table::$table)$(.field(Field::bytes(&$field).as_ref()))*.key()
        } )*
    };
}
macro_rules! prefixes {
    ($( $(#[$doc:meta])* $name:ident ( $($field:ident : $type:ty),* ) in $table:ident; )*) => {
        $( $(#[$doc])* pub fn $name($($field: $type),*) -> Prefix {
            Prefix::table(Table::$table)$(.field(Field::bytes(&$field).as_ref()))*
        } )*
    };
}

/// How a field is encoded.
trait Field {
    type Bytes: AsRef<[u8]>;
    fn bytes(&self) -> Self::Bytes;
}
macro_rules! integer_field {
    ($($type:ty),*) => { $( impl Field for $type {
        type Bytes = [u8; std::mem::size_of::<$type>()];
        fn bytes(&self) -> Self::Bytes { self.to_be_bytes() }
    } )* };
}
integer_field!(u8, u32, u64);
impl<const N: usize> Field for &[u8; N] {
    type Bytes = [u8; N];
    fn bytes(&self) -> [u8; N] {
        **self
    }
}
impl Field for &str {
    type Bytes = Vec<u8>;
    fn bytes(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }
}

keys! {
    /// The schema version.
    schema() in Schema;
    /// A single record of the node. The name is at most 100 bytes.
    singleton(name: &str) in Singleton;
    /// Next order number of an account.
    order_sequence(account: &Address) in OrderSequence;
    /// Capacity taken for `order`; `position` tells several apart.
    reservation(order: &Hash, position: u32) in Reservation;

    /// The block `number` of a market's reader.
    checkpoint(market: &Address, number: u64) in Checkpoint;
    /// An intent of `account` that has no nonce yet.
    outbox(account: &Address, intent: &Hash) in Outbox;
    /// An intent of `account` that has a nonce.
    transaction(account: &Address, intent: &Hash) in Transaction;
    /// Gas used by one kind of intent.
    gas_use(account: &Address, kind: u8) in GasUse;

    /// A bid.
    bid(hash: &Hash) in Bid;
    /// An offer.
    offer(hash: &Hash) in Offer;
    /// The job of a bid.
    job(bid: &Hash) in Job;
    /// A deal.
    deal(id: &Hash) in Deal;
    /// A deal, under its bid.
    deal_of_bid(bid: &Hash, deal: &Hash) in DealOfBid;
    /// The `sequence`-th event of a job.
    job_event(bid: &Hash, sequence: u64) in JobEvent;
    /// The result of one task of a deal.
    task_result(deal: &Hash, task: u32) in TaskResult;
    /// A balance on the market.
    account(token: &Address, account: &Address) in Account;
    /// Signatures of a deal that await settlement.
    settlement(deal: &Hash) in Settlement;
    /// A deal, under the second at which something is due.
    due(at_s: u64, deal: &Hash) in Due;
    /// A cleared trade.
    trade(block: u64, log_index: u32) in Trade;
    /// An account's order with this salt is cancelled.
    cancelled(account: &Address, salt: &Hash) in Cancelled;
    /// What a verifier found about the claim of a deal.
    finding(deal: &Hash) in Finding;
    /// The buyer's receipt for one task of a deal.
    receipt(deal: &Hash, task: u32) in Receipt;

    /// What deals of a class in a region paid, from a second on, for so many seconds.
    candle(length_s: u32, start_s: u64, token: &Address, region: u8, class: u8) in Candle;

    /// A blob on disk.
    blob(blake3: &Hash) in Blob;

    /// A checkpoint of a claim's trace.
    trace(claim: &Hash, position: u64) in Trace;
    /// A game about a claim.
    dispute(game: &Hash) in Dispute;
    /// The audit of a claim.
    audit(claim: &Hash) in Audit;
    /// The beacon of a period.
    beacon(period: u64) in Beacon;
    /// An account's seat among those who audit.
    audit_seat(account: &Address) in AuditSeat;
    /// What this node found in the audit of a claim.
    audit_finding(claim: &Hash) in AuditFinding;

    /// A job drawn on this node's reserved capacity.
    draw(id: &Hash) in Draw;
    /// A round of the auction.
    round(number: u64) in Round;
}

prefixes! {
    /// Every checkpoint of a market's reader, ascending by block number.
    checkpoints(market: &Address) in Checkpoint;
    /// Every intent of an account that has no nonce yet.
    outboxes(account: &Address) in Outbox;
    /// Every intent of an account that has a nonce.
    transactions(account: &Address) in Transaction;
    /// Gas used by an account, per kind.
    gas_uses(account: &Address) in GasUse;
    /// The reservations of an order.
    reservations_of(order: &Hash) in Reservation;
    /// The deals of a bid.
    deals_of_bid(bid: &Hash) in DealOfBid;
    /// The events of a job.
    job_events(bid: &Hash) in JobEvent;
    /// The results of a deal, ascending by task.
    task_results(deal: &Hash) in TaskResult;
    /// The receipts of a deal, ascending by task.
    receipts(deal: &Hash) in Receipt;
    /// The checkpoints of a claim's trace.
    traces(claim: &Hash) in Trace;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_sort_as_numbers() {
        let market = [7; 20];
        assert!(checkpoint(&market, 255) < checkpoint(&market, 256));
        assert!(checkpoint(&market, u64::MAX - 1) < checkpoint(&market, u64::MAX));
    }

    #[test]
    fn a_key_lies_under_its_own_prefix_and_under_no_other() {
        let key = deal_of_bid(&[1; 32], &[2; 32]);
        assert_eq!(key.after(&deals_of_bid(&[1; 32])), Some(&[2; 32][..]));
        assert_eq!(key.after(&deals_of_bid(&[3; 32])), None);
        assert_eq!(key.after(&Prefix::table(Table::Deal)), None);
    }

    #[test]
    fn the_longest_key_fits_the_limit() {
        let key = deal_of_bid(&[0; 32], &[0; 32]);
        assert!(key.as_bytes().len() <= crate::KEY_BYTES_MAX);
    }
}
