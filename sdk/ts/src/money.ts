/**
 * Prices, escrow, collateral and what is taken from them. Amounts are base units; every division
 * says how it rounds; what does not fit 128 bits is refused. Vectors: `money.json`.
 */
import { OutcryError } from "./errors.js";
import type { Offer, Resources } from "./orders.js";

/** Unit prices are base units per so many cycles. */
const CYCLES_PER_UNIT_PRICE = 10n ** 18n;
const BASIS_POINTS = 10_000n;
const UINT128_MAX = (1n << 128n) - 1n;

/** What the price of a task depends on besides its cycles. */
export interface Tariff {
  startFee: bigint;
  unitPrice: bigint;
  priceCap: bigint;
}

function fit128(value: bigint, what: string): bigint {
  if (value > UINT128_MAX) throw new OutcryError("M-019", `${what} needs more than 128 bits`, "Lower the prices or the number of tasks.");
  return value;
}

function ceilDiv(a: bigint, b: bigint): bigint {
  return (a + b - 1n) / b;
}

/** An offer's prices over what a bid reserves, base units per 10^18 cycles. */
export function unitPrice(
  offer: Pick<Offer, "cyclePrice" | "memoryPrice" | "diskPrice" | "gpuPrice" | "egressPrice">,
  reserved: Resources,
): bigint {
  const sum =
    offer.cyclePrice +
    offer.memoryPrice * BigInt(reserved.memoryMib) +
    offer.diskPrice * BigInt(reserved.diskMib) +
    offer.gpuPrice * BigInt(reserved.gpuCount) +
    offer.egressPrice * BigInt(reserved.egressMib);
  return fit128(sum, "the unit price");
}

/** `min(priceCap, startFee + ceil(cycles * unitPrice / 10^18))`. */
export function taskPrice(tariff: Tariff, cycles: bigint): bigint {
  const price = tariff.startFee + ceilDiv(cycles * tariff.unitPrice, CYCLES_PER_UNIT_PRICE);
  return price < tariff.priceCap ? price : tariff.priceCap;
}

/** The most that so many tasks can cost, each at its cycle limit. */
export function escrow(tariff: Tariff, tasks: number, cycleLimit: bigint): bigint {
  return fit128(BigInt(tasks) * taskPrice(tariff, cycleLimit), "the escrow");
}

/** What the provider locks: the escrow times `bps` basis points, rounded up. */
export function collateral(escrowed: bigint, bps: number): bigint {
  return fit128(ceilDiv(escrowed * BigInt(bps), BASIS_POINTS), "the collateral");
}

/**
 * What the buyer locks at the opening of a deal: the escrow, a tip to open and one to time out, and the
 * audit fee, which comes back unless the deal is drawn.
 */
export function reserve(escrowed: bigint, tip: bigint, auditFee: bigint): bigint {
  return fit128(escrowed + 2n * tip + auditFee, "the reserve");
}

/**
 * The most that a bid can lock of its buyer's balance, whatever offers serve it: each task at its cap,
 * as a deal of its own with tips and audit fee.
 */
export function bidExposure(priceCap: bigint, tasks: number, tip: bigint, auditFee: bigint): bigint {
  return fit128(BigInt(tasks) * reserve(priceCap, tip, auditFee), "what the bid locks");
}

/** A share in basis points, rounded down: the fee of a price, the admission fee of an escrow. */
export function share(amount: bigint, bps: number): bigint {
  return (amount * BigInt(bps)) / BASIS_POINTS;
}

/** How slashed collateral is divided: half, rounded down, to the buyer; the rest burns. */
export function divideSlash(amount: bigint): { toBuyer: bigint; burned: bigint } {
  const toBuyer = amount / 2n;
  return { toBuyer, burned: amount - toBuyer };
}
