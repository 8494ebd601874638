//! Every limit of the protocol, named, with its reason. Whatever a stranger can make grow is here.
//!
//! Limits of one node's own resources (connections, disk) are its configuration, not rules.

/// Most bytes of an order's ABI encoding and its signature together. A gossip message of this
/// size still fits one TCP segment or QUIC packet with its framing on usual links.
pub const ORDER_BYTES_MAX: usize = 1024;
/// Most bytes of an ABI-encoded [`crate::types::JobSpec`]; it is logged when a deal opens.
pub const JOB_BYTES_MAX: usize = 1024;
/// Most bytes of a gossip message: order, signature and job.
pub const MESSAGE_BYTES_MAX: usize = ORDER_BYTES_MAX + JOB_BYTES_MAX;

/// Depth at which 2^64 bytes fit (2^57 leaves of 128 bytes): no archive is longer.
pub const MERKLE_DEPTH_MAX: u32 = 57;

/// Most tasks of one deal, and so of one claim: 2,048 tasks at 1.5k gas and 38 bytes each stay
/// below a transaction's 2^24 gas.
pub const TASKS_PER_DEAL_MAX: u32 = 2048;
/// Most tasks of a job. A million tasks is more than 500 deals, so that a book entry and the
/// manifest (about 200 bytes a task) stay bounded.
pub const TASKS_PER_JOB_MAX: u32 = 1 << 20;
/// Most cycles of one task: hours of native work; longer work is a chain of tasks. A claim has 48
/// bits for the count.
pub const CYCLE_LIMIT_MAX: u64 = 1 << 44;
/// Most 64 KiB pages of memory: the whole 32-bit address space.
pub const PAGE_LIMIT_MAX: u32 = 65_536;
/// Most frame slots at once. A native run keeps up to 512 bytes of stack for each (`verifier/native`),
/// so that this is a stack of 512 MiB, beyond which it can't be promised to outlast the limit.
pub const SLOT_LIMIT_MAX: u64 = 1 << 20;
/// Least bytes of one task's output archive: the headers of `stdout` and `stderr` and the two zero
/// blocks of its end. No program could exit within less. Vectors: `hashes.json`.
pub const OUTPUT_LIMIT_MIN: u64 = 4 * 512;
/// Most bytes of one task's output archive.
pub const OUTPUT_LIMIT_MAX: u64 = 1 << 36;

/// Most that any price, fee, cap or tip may be, in base units: 2^100 leaves 28 bits for counts and
/// multiples before 128 bits overflow, and is 10^12 whole coins of 18 decimals.
pub const PRICE_MAX: u128 = 1 << 100;
/// Largest collateral multiple in basis points: 100 times the price.
pub const COLLATERAL_BPS_MAX: u32 = 1_000_000;
/// Largest audit fee, base units: the 96 bits that a deal has for it beside what it reserves.
pub const AUDIT_FEE_MAX: u128 = (1 << 96) - 1;
/// Basis points of one whole.
pub const BPS: u32 = 10_000;
/// Unit prices are base units per this many cycles (10^18).
pub const CYCLES_PER_UNIT_PRICE: u128 = 1_000_000_000_000_000_000;

/// Fastest speed an offer may sign, cycles per second: 10^13, a thousand times today's core.
pub const SPEED_MAX: u64 = 10_000_000_000_000;
/// Cycles per second and slot beyond which a deal makes no price: several times what any machine runs, so
/// that nobody moves a price by claiming cycles that cost nothing.
pub const PRICED_SPEED_MAX: u64 = 100_000_000_000;
/// Most slots of an offer: a machine room behind one key; larger ones use several capacity ids.
pub const SLOTS_MAX: u32 = 4096;
/// Longest queue timeout in seconds (one day): collateral stands still meanwhile.
pub const QUEUE_TIMEOUT_S_MAX: u32 = 86_400;
/// Longest execution timeout in seconds (thirty days).
pub const EXECUTION_TIMEOUT_S_MAX: u32 = 30 * 86_400;
/// Longest rank window, blocks: the provider's slot and everybody's money stand still meanwhile.
pub const RANK_WINDOW_BLOCKS_MAX: u16 = 32;
/// Most seconds that a block of a rank window counts, so that the times of a deal, which are in seconds,
/// can start when its window is surely over. It is the block time of the slowest chain in wide use.
pub const RANK_BLOCK_S_MAX: u64 = 12;
/// How far in the future a bid may expire, in seconds (seven days): live bids count against a
/// balance and occupy the book.
pub const BID_LIFE_S_MAX: u64 = 7 * 86_400;
/// How far in the future an offer may expire, in seconds (one hour): offers are renewed.
pub const OFFER_LIFE_S_MAX: u64 = 3_600;

/// Most live bids of one account in the book.
pub const BIDS_PER_ACCOUNT_MAX: usize = 1024;
/// Most live offers of one account in the book.
pub const OFFERS_PER_ACCOUNT_MAX: usize = 1024;
/// Most live bids in the book: at 2 KiB each with its job, 200 MiB.
pub const BIDS_MAX: usize = 100_000;
/// Most live offers in the book.
pub const OFFERS_MAX: usize = 100_000;
/// Most open or freed ranges of one bid that the book keeps: a bid of the most tasks in deals of
/// the most tasks has 512; smaller deals of a huge job wait until some close.
pub const RANGES_PER_BID_MAX: usize = 4096;

/// Most matches that one epoch emits for one bid; what is left waits for the next block.
pub const MATCHES_PER_BID_MAX: usize = 256;

/// Most nodes and offers that the search for one range of a bid looks at, so that no book can make a
/// bid cost more. It looks at a few hundred where what the bid asks for is common.
pub const LOOKS_MAX: u32 = 4096;

/// Latest machine version whose rules this code knows.
pub const MACHINE_VERSION_MAX: u32 = 1;
/// Pages of 64 KiB in one MiB.
pub const PAGES_PER_MIB: u32 = 16;

/// Most facts about the chain that a book keeps before it forgets those that no order needs.
/// 100,000 bids need 4 each and as many offers 5.
pub const FACTS_MAX: usize = 2_000_000;
/// Most barred providers that a book remembers of one bid when it has to forget.
pub const BARRED_PER_BID_MAX: usize = 64;

/// Seconds for which prices by the minute are shown: two days; those by the hour last.
pub const MINUTES_KEPT_S: u64 = 2 * 86_400;
/// Seconds for which prices by the hour are shown: two years.
pub const HOURS_KEPT_S: u64 = 731 * 86_400;
/// Most candles by the minute that are shown, and as many by the hour, at about 200 bytes each; the
/// oldest go first. That is 45 series in which every minute of two days has a deal (129,600), and 7 in
/// which every hour of two years has (122,808).
pub const CANDLES_KEPT_MAX: usize = 131_072;
/// Candles that are held beyond those: more than the blocks of a fork can add.
pub const CANDLES_SPARE: usize = 4_096;
/// Seconds for which candles are held longer than shown: more than a fork takes back.
pub const CANDLES_SPARE_S: u64 = 6 * 3_600;
/// Most candles of one answer.
pub const CANDLES_PER_PAGE_MAX: u32 = 1_000;
/// Most pools of an auction: a group of a result has a word for each, and the result of a full round
/// must fit one transaction.
pub const AUCTION_POOLS_MAX: usize = 32;
/// Most orders of a round, for the same reason.
pub const AUCTION_ORDERS_MAX: usize = 512;
/// Most lots of an order of the auction.
pub const AUCTION_LOTS_MAX: u32 = 1 << 20;
/// Most exclusive alternatives of an order of the auction.
pub const AUCTION_ALTERNATIVES_MAX: usize = 8;
/// Most pools that one alternative names.
pub const AUCTION_ENTRIES_MAX: usize = 8;
/// Largest quantity of one pool in one lot, either way: `|q| < 2^22`.
pub const AUCTION_QUANTITY_MAX: i32 = (1 << 22) - 1;
/// Largest limit of a lot, either way, base units.
pub const AUCTION_LIMIT_MAX: i64 = 1 << 62;
/// Largest cost of a unit of a curve, base units: twice as much, its dearest ask, is a price.
pub const AUCTION_COST_MAX: i64 = (1 << 35) - 1;
/// Highest price of a unit of a pool, base units: `p < 2^36`.
pub const AUCTION_PRICE_MAX: u64 = (1 << 36) - 1;
/// Most fills of one group of a result. An order has at most 8, so that all of them fit beside
/// another's.
pub const AUCTION_FILLS_PER_GROUP: usize = 16;
