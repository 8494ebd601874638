/**
 * The client of Outcry, for dapps that buy compute.
 *
 * ```ts
 * import { Client, buildJob } from "@outcry/sdk";
 *
 * const client = new Client(network, signer);
 * const job = buildJob({ program: { wasm, imageRoot }, args: ["count"] }, await client.check());
 * const bid = await client.bid(job, { maxPrice: 2_000_000n });
 * await client.fund(bid);
 * const { tasks } = await client.run(job, bid, { trust: "waive" });
 * console.log(new TextDecoder().decode(tasks[0].stdout));
 * ```
 *
 * Stages of a job served here: the first (a program and its inputs become a signed bid) and the last
 * (a claim is checked and accepted, its output handed over). Never here: matching, gossip, an engine,
 * a signature over a result that nobody checked unless the caller says `"waive"`.
 *
 * Nothing here needs Node.js: bytes are `Uint8Array`, requests go through `fetch`. Folders, files and
 * the linker are in `@outcry/sdk/node`.
 *
 * | module | one idea |
 * | --- | --- |
 * | orders, hashes, signature | what is signed and hashed, bound to `protocol/vectors` |
 * | money, claim | what a task costs, what a claim comes to |
 * | archive, job | from files to a job |
 * | bid | from wishes to a bid |
 * | node, chain | the two sources of facts: a node's HTTP API, the chain |
 * | client | submit, wait, check, accept |
 */
export { pack, packInput, unpack, unpackOutput } from "./archive.js";
export type { Files, Invocation, Output } from "./archive.js";
export { blake3 } from "./bytes.js";
export type { Hex } from "./bytes.js";
export { buildBid, usualAuditFee, validateBid, validateJob } from "./bid.js";
export type { Place, Terms } from "./bid.js";
export { AUDITS_ABI, Chain, MARKET_ABI } from "./chain.js";
export type { DepositAuthorization, Holdings, LoggedClaim } from "./chain.js";
export { computeClaim, decodeClaimedTasks, hashClaim } from "./claim.js";
export type { Claim, ClaimedTask } from "./claim.js";
export { Client } from "./client.js";
export type { CheckedDeal, Finished, RunOptions, TaskOutput, Trust } from "./client.js";
export { OutcryError } from "./errors.js";
export {
  STATUSES,
  claimHash,
  haltedHash,
  innerHash,
  inputRoot,
  inputsRoot,
  leavesOf,
  merkleProof,
  merkleRoot,
  outputRoot,
  resultRoot,
  rootOfLeaves,
  rootOfProof,
  taskLeaf,
} from "./hashes.js";
export type { Outcome, Status } from "./hashes.js";
export { MACHINE_VERSION, buildJob, manifestBytes, pythonJob } from "./job.js";
export type { Blob, Job, JobRequest, Limits, Program } from "./job.js";
export { bidExposure, collateral, divideSlash, escrow, reserve, share, taskPrice, unitPrice } from "./money.js";
export type { Tariff } from "./money.js";
export { parseNetwork } from "./network.js";
export type { Network, Token } from "./network.js";
export { JOB_STATES, Node, isTerminal } from "./node.js";
export type {
  BookOffer,
  Candle,
  ClaimView,
  DealState,
  DealView,
  EpochDigest,
  Explanation,
  HistoryQuery,
  JobEvent,
  JobEventKind,
  JobState,
  JobView,
  MachineEarnings,
  MarketValue,
  NodeStatus,
  PriceHistory,
  Problem,
  Quote,
  TaskResult,
  ValueQuery,
  Worth,
} from "./node.js";
export { abiEncode, auditTermsOf, dealId, digest, domainOf, fromJson, jobHash, taskId, toJson, typesOf } from "./orders.js";
export type { Accept, AuditTerms, Bid, ClaimRelay, Deal, JobSpec, Offer, Receipt, Resources, Structures } from "./orders.js";
export { compactSignature, recoverSigner } from "./signature.js";
