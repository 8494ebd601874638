/** Merkle trees and the hashes of results. Vectors: `merkle.json`, `hashes.json`. */
import { AbiCoder, id, keccak256 } from "ethers";

import type { Hex } from "./bytes.js";
import { OutcryError } from "./errors.js";

/** Bytes of a leaf: one permutation of keccak. */
const LEAF_BYTES = 128;
/** Depth at which 2^64 bytes fit. */
const DEPTH_MAX = 57;

/** How a program ended: the number that is hashed. */
export const STATUSES = ["exited", "trapped", "outOfCycles", "outOfFrameSlots", "outputLimitExceeded"] as const;
export type Status = (typeof STATUSES)[number];

/** What a task's result commits to. */
export interface Outcome {
  status: Status;
  exitCode: number;
  outputRoot: Hex;
  outputLength: bigint;
}

/** `keccak256(left ‖ right)`. */
function node(left: Hex, right: Hex): Hex {
  return keccak256(left + right.slice(2));
}

function leaf(bytes: Uint8Array): Hex {
  if (bytes.length === LEAF_BYTES) return keccak256(bytes);
  const padded = new Uint8Array(LEAF_BYTES);
  padded.set(bytes);
  return keccak256(padded);
}

/** Root of an all-zero tree of each depth. */
const zeros: Hex[] = [leaf(new Uint8Array())];
export function zeroSubtree(depth: number): Hex {
  while (zeros.length <= depth) {
    const below = zeros[zeros.length - 1]!;
    zeros.push(node(below, below));
  }
  return zeros[depth]!;
}

/** Smallest d with 2^d >= count. */
export function ceilLog2(count: bigint): number {
  let depth = 0;
  while (1n << BigInt(depth) < count) depth++;
  return depth;
}

/** Depth of the tree over so many bytes. */
export function depthForBytes(length: bigint): number {
  return ceilLog2((length + 127n) / 128n);
}

/** Root over hashed leaves; missing ones are zero leaves. */
export function rootOfLeaves(leaves: readonly Hex[], depth: number): Hex {
  if (depth > DEPTH_MAX || BigInt(leaves.length) > 1n << BigInt(depth)) {
    throw new OutcryError("B-003", `${leaves.length} leaves do not fit a tree of depth ${depth}`, "Split the data.");
  }
  let level = [...leaves];
  for (let height = 0; height < depth; height++) {
    const above: Hex[] = [];
    for (let i = 0; i < level.length; i += 2) above.push(node(level[i]!, level[i + 1] ?? zeroSubtree(height)));
    level = above;
  }
  return level[0] ?? zeroSubtree(depth);
}

/** Root of some bytes cut into leaves. */
export function merkleRoot(bytes: Uint8Array, depth: number): Hex {
  return rootOfLeaves(leavesOf(bytes), depth);
}

/** The siblings from a leaf up to the root: bit h of `index` says whether the node at height h is a right child. */
export function merkleProof(leaves: readonly Hex[], depth: number, index: number): Hex[] {
  if (index < 0 || index >= 2 ** depth) throw new OutcryError("B-003", `a tree of depth ${depth} has no leaf ${index}`, "Check the index.");
  const siblings: Hex[] = [];
  let level = [...leaves];
  for (let height = 0; height < depth; height++) {
    const at = Math.floor(index / 2 ** height);
    siblings.push(level[at % 2 === 0 ? at + 1 : at - 1] ?? zeroSubtree(height));
    level = Array.from({ length: Math.ceil(level.length / 2) }, (_, i) => node(level[2 * i]!, level[2 * i + 1] ?? zeroSubtree(height)));
  }
  return siblings;
}

/** The root to which a leaf and its siblings lead. */
export function rootOfProof(leaf: Hex, index: number, siblings: readonly Hex[]): Hex {
  return siblings.reduce((below, sibling, height) => (Math.floor(index / 2 ** height) % 2 === 0 ? node(below, sibling) : node(sibling, below)), leaf);
}

/** Some bytes cut into leaves, hashed. */
export function leavesOf(bytes: Uint8Array): Hex[] {
  const leaves: Hex[] = [];
  for (let at = 0; at < bytes.length; at += LEAF_BYTES) leaves.push(leaf(bytes.subarray(at, at + LEAF_BYTES)));
  return leaves;
}

function hashWords(types: string[], values: unknown[]): Hex {
  return keccak256(AbiCoder.defaultAbiCoder().encode(types, values));
}

/** Root of an input archive. */
export function inputRoot(archive: Uint8Array): Hex {
  const root = merkleRoot(archive, depthForBytes(BigInt(archive.length)));
  return hashWords(["bytes32", "uint256", "bytes32"], [id("outcry.input.v1"), archive.length, root]);
}

/** Leaf of the tree over a job's tasks; `blake3` without `0x`. */
export function taskLeaf(index: number, blake3: string, root: Hex, length: number): Hex {
  return hashWords(["uint256", "bytes32", "bytes32", "uint256"], [index, `0x${blake3}`, root, length]);
}

/** `JobSpec.inputsRoot`. */
export function inputsRoot(leaves: readonly Hex[]): Hex {
  return rootOfLeaves(leaves, ceilLog2(BigInt(leaves.length)));
}

/** Root of an output archive at the depth that the job's output limit gives. */
export function outputRoot(archive: Uint8Array, outputLimit: bigint): Hex {
  return merkleRoot(archive, depthForBytes(outputLimit));
}

/** The inner hash: what a claim holds for a task beside its cycles. */
export function innerHash(outcome: Outcome): Hex {
  return hashWords(
    ["bytes32", "uint256", "uint256", "bytes32", "uint256"],
    [id("outcry.result.v1"), STATUSES.indexOf(outcome.status), outcome.exitCode, outcome.outputRoot, outcome.outputLength],
  );
}

/** Hash of the halted machine. */
export function haltedHash(jobHash: Hex, task: number, cycles: bigint, inner: Hex): Hex {
  return hashWords(
    ["bytes32", "bytes32", "uint256", "uint256", "bytes32"],
    [id("outcry.halted.v1"), jobHash, task, cycles, inner],
  );
}

/** Root over the halted-state hashes of a deal's tasks. */
export function resultRoot(halted: readonly Hex[]): Hex {
  return rootOfLeaves(halted, ceilLog2(BigInt(halted.length)));
}

/** What the buyer's `Accept` signs. */
export function claimHash(dealId: Hex, root: Hex, cycles: bigint, price: bigint): Hex {
  return hashWords(
    ["bytes32", "bytes32", "bytes32", "uint256", "uint256"],
    [id("outcry.claim.v1"), dealId, root, cycles, price],
  );
}

