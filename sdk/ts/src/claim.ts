/** What follows from a claim's tasks and the deal's terms. Vectors: `claims.json`. */
import { getBytes, hexlify } from "ethers";

import type { Hex } from "./bytes.js";
import { OutcryError } from "./errors.js";
import { claimHash, haltedHash, resultRoot } from "./hashes.js";
import { taskPrice } from "./money.js";
import type { Deal } from "./orders.js";

/** Bytes of a task in a claim's calldata: cycles (6, big-endian), inner hash. */
const RECORD_BYTES = 38;

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

function falseClaim(reason: string): OutcryError {
  return new OutcryError("D-004", reason, "Do not accept it.");
}

/** Reads a claim's calldata. */
export function decodeClaimedTasks(calldata: Hex): ClaimedTask[] {
  const bytes = getBytes(calldata);
  if (bytes.length % RECORD_BYTES !== 0) throw falseClaim(`${bytes.length} bytes are no claim`);
  return Array.from({ length: bytes.length / RECORD_BYTES }, (_, index) => {
    const record = bytes.subarray(index * RECORD_BYTES, (index + 1) * RECORD_BYTES);
    return { cycles: BigInt(hexlify(record.subarray(0, 6))), inner: hexlify(record.subarray(6)) };
  });
}

/** The claim that follows from a deal and what its tasks gave. */
export function computeClaim(deal: Deal, tasks: readonly ClaimedTask[]): Claim {
  if (tasks.length !== deal.taskCount) throw falseClaim(`the claim has ${tasks.length} tasks, the deal ${deal.taskCount}`);
  let [cycles, price] = [0n, 0n];
  const halted = tasks.map((task, offset) => {
    if (task.cycles > deal.cycleLimit) throw falseClaim(`task ${deal.firstTask + offset} claims more than its limit`);
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
