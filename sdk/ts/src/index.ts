/**
 * The client of Outcry, for dapps that buy compute.
 *
 * ```ts
 * import { readFile } from "node:fs/promises";
 * import { Wallet } from "ethers";
 * import { Client, buildJob, parseNetwork } from "@outcry/sdk";
 *
 * const network = parseNetwork(await readFile("net/network.toml", "utf8"));
 * const client = new Client(network, new Wallet(key));
 * const job = buildJob({ program: { wasm, imageRoot }, args: ["count"] }, await client.check());
 * const bid = await client.bid(job, { maxPrice: 2_000_000n });
 * const missing = await client.missingDeposit(bid);
 * if (missing > 0n) await client.deposit(bid.token, missing);
 * const { tasks } = await client.run(job, bid, { trust: "waive" });
 * console.log(new TextDecoder().decode(tasks[0].stdout));
 * ```
 *
 * Nothing here needs Node: bytes are `Uint8Array`, requests go through `fetch`.
 */
export { pack, packInput, unpack, unpackOutput } from "./archive.js";
export type { Files, Invocation, Output } from "./archive.js";
export { blake3 } from "./bytes.js";
export type { Hex } from "./bytes.js";
export { bidExposure, computeClaim, hashClaim, taskPrice, unitPrice } from "./claim.js";
export type { Claim, ClaimedTask, Tariff } from "./claim.js";
export { Client } from "./client.js";
export type { CheckedDeal, Finished, RunOptions, TaskOutput, Terms, Trust } from "./client.js";
export { OutcryError } from "./errors.js";
export {
  STATUSES,
  claimHash,
  haltedHash,
  imageRoot,
  innerHash,
  inputRoot,
  inputsRoot,
  merkleRoot,
  outputRoot,
  resultRoot,
  rootOfLeaves,
  taskLeaf,
} from "./hashes.js";
export type { Outcome, Status } from "./hashes.js";
export { MACHINE_VERSION, buildJob, manifestBytes, pythonJob } from "./job.js";
export type { Blob, Job, JobRequest, Limits, Program } from "./job.js";
export { parseNetwork } from "./network.js";
export type { Network, Token } from "./network.js";
export { Node, isTerminal } from "./node.js";
export type { BookOffer, ClaimView, DealView, Explanation, JobEvent, JobState, JobView, NodeStatus, TaskResult } from "./node.js";
export { abiEncode, dealId, digest, domainOf, fromJson, jobHash, taskId, toJson, typesOf } from "./orders.js";
export type { Accept, Bid, ClaimRelay, Deal, JobSpec, Offer, Receipt, Resources, Structures } from "./orders.js";
