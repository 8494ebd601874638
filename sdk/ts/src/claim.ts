/** What follows from a claim's tasks and the deal's terms. Vectors: `claims.json`, `money.json`. */
import type { Hex } from "./bytes.js";
import { OutcryError } from "./errors.js";
import { claimHash, haltedHash, resultRoot } from "./hashes.js";
import type { Deal, Offer, Resources } from "./orders.js";

/** Unit prices are base units per so many cycles. */
const CYCLES_PER_UNIT_PRICE = 10n ** 18n;
const UINT128_MAX = (1n << 128n) - 1n;

/** One task of a claim. */
export interface ClaimedTask {
  cycles: bigint;
  inner: Hex;
}

/** The totals that the chain computes from a claim. */
export interface Claim {
  resultRoot: Hex;
  cycles: bigint;
  price: bigint;
}

/** What the price of a task depends on besides its cycles. */
export interface Tariff {
  startFee: bigint;
  unitPrice: bigint;
  priceCap: bigint;
}

function ceilDiv(a: bigint, b: bigint): bigint {
  return (a + b - 1n) / b;
}

/** An offer's prices over what a bid reserves, base units per 10^18 cycles. */
export function unitPrice(offer: Pick<Offer, "cyclePrice" | "memoryPrice" | "diskPrice" | "gpuPrice" | "egressPrice">, reserved: Resources): bigint {
  const sum =
    offer.cyclePrice +
    offer.memoryPrice * BigInt(reserved.memoryMib) +
    offer.diskPrice * BigInt(reserved.diskMib) +
    offer.gpuPrice * BigInt(reserved.gpuCount) +
    offer.egressPrice * BigInt(reserved.egressMib);
  if (sum > UINT128_MAX) throw new OutcryError("M-019", "the unit price needs more than 128 bits", "Reserve less.");
  return sum;
}

/** `min(priceCap, startFee + ceil(cycles * unitPrice / 10^18))`. */
export function taskPrice(tariff: Tariff, cycles: bigint): bigint {
  const price = tariff.startFee + ceilDiv(cycles * tariff.unitPrice, CYCLES_PER_UNIT_PRICE);
  return price < tariff.priceCap ? price : tariff.priceCap;
}

/** The most that a bid can take from its buyer's balance: the cap for each task, and two tips. */
export function bidExposure(priceCap: bigint, tasks: number, tip: bigint): bigint {
  return priceCap * BigInt(tasks) + 2n * tip;
}

/** The claim that follows from a deal and what its tasks gave. */
export function computeClaim(deal: Deal, tasks: readonly ClaimedTask[]): Claim {
  if (tasks.length !== deal.taskCount) {
    throw new OutcryError("D-004", `the claim has ${tasks.length} tasks, the deal ${deal.taskCount}`, "Do not accept it.");
  }
  let [cycles, price] = [0n, 0n];
  const halted = tasks.map((task, offset) => {
    if (task.cycles > deal.cycleLimit) {
      throw new OutcryError("D-004", `task ${deal.firstTask + offset} claims more than its limit`, "Do not accept it.");
    }
    cycles += task.cycles;
    price += taskPrice(deal, task.cycles);
    return haltedHash(deal.jobHash, deal.firstTask + offset, task.cycles, task.inner);
  });
  return { resultRoot: resultRoot(halted), cycles, price };
}

/** What the buyer's `Accept` signs. */
export function hashClaim(dealId: Hex, claim: Claim): Hex {
  return claimHash(dealId, claim.resultRoot, claim.cycles, claim.price);
}
