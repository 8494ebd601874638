//! What a market may hold. Together the limits keep every sum inside its integer: `p · q` of one
//! alternative and a surplus in 64 bits, the demand of a pool in 64 bits, money in 128.

/// Most pools.
pub const POOLS_MAX: usize = 1 << 12;
/// Most orders, duplicates included.
pub const ORDERS_MAX: usize = 1 << 20;
/// Most steps of divisible supply, duplicates included.
pub const SUPPLIES_MAX: usize = 1 << 20;
/// Most lots of an order.
pub const LOTS_MAX: u32 = 1 << 20;
/// Most exclusive alternatives of an order.
pub const ALTERNATIVES_MAX: usize = 16;
/// Most pools that one alternative names.
pub const ENTRIES_MAX: usize = 16;
/// Largest quantity of one pool in one lot, either way: `|q| < 2^22`.
pub const QUANTITY_MAX: i32 = (1 << 22) - 1;
/// Highest price of a unit: `p < 2^36`.
pub const PRICE_MAX: i64 = (1 << 36) - 1;
/// Largest limit of a lot, either way. More than any bundle can cost: 16 * 2^22 * 2^36 = 2^62.
pub const LIMIT_MAX: i64 = 1 << 62;
/// Largest quantity of one step of supply.
pub const SUPPLY_MAX: i64 = 1 << 40;

// |limit - p·q| < 2^63; a pool's demand: 2^20 orders of 2^20 lots of 2^22 units; its supply: 2^60.
const _: () = assert!(
    LIMIT_MAX as i128 + (ENTRIES_MAX as i128) * (QUANTITY_MAX as i128) * (PRICE_MAX as i128)
        < 1 << 63
);
const _: () = assert!(
    (ORDERS_MAX as i128) * (LOTS_MAX as i128) * (QUANTITY_MAX as i128)
        + (SUPPLIES_MAX as i128) * (SUPPLY_MAX as i128)
        < 1 << 63
);
