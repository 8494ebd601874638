/**
 * From what a buyer wants to a bid, with defaults that work, and what makes a bid invalid
 * whoever might take it (`protocol/src/order.rs`). Prices, time, salt and counter come in as
 * arguments.
 */
import { MaxUint256, ZeroAddress, ZeroHash, hexlify, randomBytes } from "ethers";

import { OutcryError } from "./errors.js";
import { taskPrice, unitPrice } from "./money.js";
import { jobHash } from "./orders.js";
import type { Bid, JobSpec, Offer, Resources } from "./orders.js";

/** Highest price of the protocol, base units. */
export const PRICE_MAX = 1n << 100n;
/** Cycles per second that a default execution timeout allows for; as in `sdk/rust/src/bid.rs`. */
const SLOW_SPEED = 250_000_000n;
/** Shortest default execution timeout in seconds: a provider compiles a large program first. */
const EXECUTION_TIMEOUT_S_MIN = 60n;
const EXECUTION_TIMEOUT_S_MAX = 30 * 86_400;
const QUEUE_TIMEOUT_S_MAX = 86_400;
const BID_LIFE_S_MAX = 7 * 86_400;
const COLLATERAL_BPS_MAX = 1_000_000;
/** Longest rank window, in blocks. */
const RANK_WINDOW_BLOCKS_MAX = 32;
/** Largest audit fee, base units. */
const AUDIT_FEE_MAX = (1n << 96n) - 1n;
/** How many times as long a task takes in the machine's interpreter as natively; as in `sdk/rust/src/bid.rs`. */
const INTERPRETER_SLOWDOWN = 20n;
const PAGES_PER_MIB = 16;

/** What a buyer offers and asks for; every field has a default. Amounts are base units. */
export interface Terms {
  /** Payment token; the network's first by default. */
  token?: string;
  /** Most that the whole job may cost; by default what half of the live offers charge at the limit. */
  maxPrice?: bigint;
  /** Expected cycles of one task: ranks offers, never bills. A tenth of the limit by default. */
  cyclesExpected?: bigint;
  /** MiB of memory that a task reserves; what its page limit needs by default. */
  memoryMib?: number;
  diskMib?: number;
  egressMib?: number;
  /** Base units per second of expected completion. */
  valueOfTime?: bigint;
  /** Bit r set: region r is acceptable. All by default. */
  regions?: bigint;
  /** Bits that an offer must have. */
  attributes?: bigint;
  /**
   * Collateral in basis points of the escrow. The default, 40000, makes a caught cheat lose twice the
   * escrow for good, since half of what is slashed burns.
   */
  collateralBps?: number;
  /** Chance that a deal is audited, in basis points; 10000 audits every deal. None by default. */
  auditRateBps?: number;
  /**
   * What an audit of a deal pays to all who take part in it. Each deal locks it, and a deal that is not
   * drawn gives it back. With a rate {@link usualAuditFee} by default.
   */
  auditFee?: bigint;
  /** Seconds to fetch and start; 120 by default. */
  queueTimeoutS?: number;
  /**
   * Blocks after its opening in which an offer at least 1% better may take a deal's place, at most 32;
   * nothing is run before. None by default, so that a job runs at once.
   */
  rankWindow?: number;
  /** Seconds to execute a deal; the cycle limit at 250 million cycles a second by default. */
  executionTimeoutS?: number;
  /** Seconds that the bid stays valid; 3600 by default. */
  lifeS?: number;
  /** To whoever opens or times out a deal. */
  tip?: bigint;
}

/** What a bid holds beside terms and job. */
export interface Place {
  buyer: string;
  token: string;
  /** Most that one task may cost, base units. */
  priceCap: bigint;
  /** What an audit of a deal pays, base units; zero if and only if no audits are asked for. */
  auditFee: bigint;
  /** Unix seconds of the chain. */
  now: number;
  /** Place in the account's order bitmap; see {@link salts}. */
  salt: bigint;
  /** The account's cancel counter. */
  counter: bigint;
}

/** What one task reserves. */
export function reservedBy(terms: Terms, job: JobSpec): Resources {
  return {
    memoryMib: terms.memoryMib ?? Math.ceil(job.pageLimit / PAGES_PER_MIB),
    diskMib: terms.diskMib ?? 0,
    gpuClass: 0,
    gpuCount: 0,
    egressMib: terms.egressMib ?? 0,
  };
}

/** What half of the offers charge at most for a task at its cycle limit. */
export function medianPrice(offers: readonly Offer[], reserved: Resources, cycleLimit: bigint): bigint {
  const prices = offers
    .map((offer) => taskPrice({ startFee: offer.startFee, unitPrice: unitPrice(offer, reserved), priceCap: PRICE_MAX }, cycleLimit))
    .sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const middle = prices[Math.floor((prices.length - 1) / 2)];
  if (middle === undefined) {
    throw new OutcryError("M-017", "there are no live offers in this token", "Give terms.maxPrice, or wait for providers.");
  }
  return middle;
}

function expectedCycles(terms: Terms, job: JobSpec): bigint {
  const expected = terms.cyclesExpected ?? job.cycleLimit / 10n;
  return expected > 0n ? expected : 1n;
}

/**
 * An audit fee that pays each of `auditors` and the provider for one run of a task in the interpreter:
 * `(auditors + 1) * ceil(20 * priceCap * expected cycles / cycle limit)`, since a run takes about 20 times
 * as long there as natively, and the cap is what the cycle limit costs at most. Base units.
 */
export function usualAuditFee(terms: Terms, job: JobSpec, priceCap: bigint, auditors: number): bigint {
  const run = INTERPRETER_SLOWDOWN * priceCap * expectedCycles(terms, job);
  return BigInt(auditors + 1) * ((run + job.cycleLimit - 1n) / job.cycleLimit);
}

/** The bid for a job, checked by {@link validateBid}. */
export function buildBid(job: JobSpec, terms: Terms, place: Place): Bid {
  const seconds = (job.cycleLimit + SLOW_SPEED - 1n) / SLOW_SPEED;
  const timeout = seconds < EXECUTION_TIMEOUT_S_MIN ? EXECUTION_TIMEOUT_S_MIN : seconds;
  const bid: Bid = {
    buyer: place.buyer,
    token: place.token,
    jobHash: jobHash(job),
    tasks: job.taskCount,
    cyclesExpected: expectedCycles(terms, job),
    resources: reservedBy(terms, job),
    priceCap: place.priceCap,
    valueOfTime: terms.valueOfTime ?? 0n,
    regions: terms.regions ?? MaxUint256,
    attributes: terms.attributes ?? 0n,
    roundTripMsMax: 0,
    roundTripPlace: ZeroHash,
    auditRateBps: terms.auditRateBps ?? 0,
    auditFee: place.auditFee,
    collateralBps: terms.collateralBps ?? 40_000,
    replicas: 1,
    queueTimeout: terms.queueTimeoutS ?? 120,
    executionTimeout: terms.executionTimeoutS ?? Math.min(Number(timeout), EXECUTION_TIMEOUT_S_MAX),
    rankWindow: terms.rankWindow ?? 0,
    tip: terms.tip ?? 0n,
    expiry: BigInt(place.now + (terms.lifeS ?? 3_600)),
    salt: place.salt,
    counter: place.counter,
  };
  validateBid(bid, job, place.now);
  return bid;
}

/** Bytes of an output archive with nothing printed and no files. Vectors: `hashes.json`. */
const OUTPUT_LIMIT_MIN = 2_048n;

/** Refuses a job whose limits lie outside what the machine allows. */
export function validateJob(job: JobSpec): void {
  if (job.machineVersion !== 1) refuse("O-025", `machine version ${job.machineVersion} is unknown here`, "Use version 1.");
  const limits: [string, bigint, bigint, bigint][] = [
    ["cycleLimit", job.cycleLimit, 1n, 1n << 44n],
    ["pageLimit", BigInt(job.pageLimit), 0n, 65_536n],
    ["slotLimit", job.slotLimit, 1n, 1n << 20n],
    ["outputLimit", job.outputLimit, OUTPUT_LIMIT_MIN, 1n << 36n],
  ];
  for (const [field, value, min, max] of limits) {
    if (value < min || value > max) refuse("O-003", `the job's ${field} is ${value}, allowed is ${min} to ${max}`, `Change ${field}.`);
  }
  if (job.taskCount < 1 || job.taskCount > 1 << 20) refuse("O-004", `${job.taskCount} tasks, allowed are 1 to ${1 << 20}`, "Split the job.");
}

/** Refuses whatever is wrong with a bid itself, before it is signed. `now` is the chain's time. */
export function validateBid(bid: Bid, job: JobSpec, now: number): void {
  if (bid.jobHash !== jobHash(job)) refuse("O-002", "the bid names another job", "Build the bid for this job.");
  validateJob(job);
  if (bid.buyer === ZeroAddress) refuse("O-019", "the bid names no account", "Set buyer.");
  if (bid.tasks !== job.taskCount) refuse("O-004", `the bid is for ${bid.tasks} tasks, its job has ${job.taskCount}`, "They must be equal.");
  if (bid.cyclesExpected < 1n || bid.cyclesExpected > job.cycleLimit) {
    refuse("O-013", `${bid.cyclesExpected} cycles are expected, allowed is 1 to the cycle limit ${job.cycleLimit}`, "Change cyclesExpected.");
  }
  const needed = Math.ceil(job.pageLimit / PAGES_PER_MIB);
  const { memoryMib, gpuClass, gpuCount } = bid.resources;
  if (memoryMib < needed) refuse("O-014", `the bid reserves ${memoryMib} MiB, its page limit needs ${needed} MiB`, "Reserve more memory.");
  if (gpuClass !== 0 || gpuCount !== 0) refuse("O-021", "GPUs are not supported yet", "Ask for none.");
  for (const field of ["priceCap", "valueOfTime", "tip"] as const) {
    if (bid[field] < 0n || bid[field] > PRICE_MAX) refuse("O-007", `${field} is ${bid[field]}, outside 0 to 2^100`, `Change ${field}.`);
  }
  if (bid.regions === 0n) refuse("O-008", "the bid accepts no region", "Set a bit of regions.");
  if (bid.roundTripMsMax !== 0 || bid.roundTripPlace !== ZeroHash) refuse("O-022", "limits on round-trip time are not supported yet", "Ask for none.");
  const { auditRateBps: rate, auditFee: fee } = bid;
  if (!(rate >= 0 && rate <= 10_000) || fee < 0n || fee > AUDIT_FEE_MAX || (rate === 0) !== (fee === 0n)) {
    refuse(
      "O-023",
      `an audit rate of ${rate} basis points with a fee of ${fee}; both are zero, or the rate is 1 to 10000 and the fee 1 to ${AUDIT_FEE_MAX}`,
      "Set both auditRateBps and auditFee, or none.",
    );
  }
  if (bid.collateralBps > COLLATERAL_BPS_MAX) refuse("O-015", `the collateral multiple is ${bid.collateralBps} basis points`, `Ask for at most ${COLLATERAL_BPS_MAX}.`);
  if (bid.replicas !== 1) refuse("O-020", `${bid.replicas} replicas are asked for`, "Only 1 is supported yet.");
  for (const [field, most] of [["queueTimeout", QUEUE_TIMEOUT_S_MAX], ["executionTimeout", EXECUTION_TIMEOUT_S_MAX]] as const) {
    if (bid[field] < 1 || bid[field] > most) refuse("O-009", `${field} is ${bid[field]} s, allowed is 1 to ${most} s`, `Change ${field}.`);
  }
  if (!(bid.rankWindow >= 0 && bid.rankWindow <= RANK_WINDOW_BLOCKS_MAX)) {
    refuse("O-024", `the rank window is ${bid.rankWindow} blocks, the most is ${RANK_WINDOW_BLOCKS_MAX}`, "Ask for fewer, or for none with 0.");
  }
  if (bid.expiry < BigInt(now)) refuse("O-005", `the bid expired at ${bid.expiry}, it is ${now}`, "Sign a new one.");
  const most = BigInt(now + BID_LIFE_S_MAX);
  if (bid.expiry > most) refuse("O-006", `the bid expires at ${bid.expiry}, at most ${most} is allowed now`, "A bid lives at most seven days.");
}

function refuse(code: string, message: string, help: string): never {
  throw new OutcryError(code, message, help);
}

/**
 * Gives every order a salt of its own. Salts run on from a random start, so that orders of one
 * client share words of the account's bitmap, and those of two clients never meet.
 */
export function* salts(): Generator<bigint, never, void> {
  const start = BigInt(hexlify(randomBytes(28))) << 32n;
  for (let next = start; ; next++) yield next;
}
