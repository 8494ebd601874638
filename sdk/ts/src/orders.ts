/**
 * The signed and hashed structures, as `contracts/src/types/Orders.sol` defines them. Field names,
 * types and order are bound to it by `protocol/vectors/orders.json` and `domain.json`.
 */
import { AbiCoder, TypedDataEncoder, getAddress, isAddress, keccak256, toBeHex } from "ethers";
import type { TypedDataDomain, TypedDataField } from "ethers";

import type { Hex } from "./bytes.js";
import { OutcryError } from "./errors.js";

/** What is to be computed. */
export interface JobSpec {
  machineVersion: number;
  imageRoot: Hex;
  inputsRoot: Hex;
  /** BLAKE3 of the manifest, as a `bytes32`. */
  manifest: Hex;
  /** Ed25519 key of the node that serves the blobs. */
  source: Hex;
  cycleLimit: bigint;
  pageLimit: number;
  slotLimit: bigint;
  outputLimit: bigint;
  taskCount: number;
}

/** What one slot has, or one task reserves. */
export interface Resources {
  memoryMib: number;
  diskMib: number;
  gpuClass: number;
  gpuCount: number;
  egressMib: number;
}

/** A buyer's order. Amounts are base units of `token`. */
export interface Bid {
  buyer: string;
  token: string;
  jobHash: Hex;
  tasks: number;
  cyclesExpected: bigint;
  resources: Resources;
  priceCap: bigint;
  valueOfTime: bigint;
  regions: bigint;
  attributes: bigint;
  roundTripMsMax: number;
  roundTripPlace: Hex;
  auditRateBps: number;
  auditFee: bigint;
  collateralBps: number;
  replicas: number;
  queueTimeout: number;
  executionTimeout: number;
  rankWindow: number;
  tip: bigint;
  expiry: bigint;
  salt: bigint;
  counter: bigint;
}

/** A provider's order. */
export interface Offer {
  provider: string;
  token: string;
  capacityId: Hex;
  slots: number;
  peerKey: Hex;
  region: number;
  attributes: bigint;
  resources: Resources;
  startFee: bigint;
  cyclePrice: bigint;
  memoryPrice: bigint;
  diskPrice: bigint;
  gpuPrice: bigint;
  egressPrice: bigint;
  speed: bigint;
  collateralMax: bigint;
  machineVersion: number;
  tip: bigint;
  expiry: bigint;
  salt: bigint;
  counter: bigint;
}

/** The terms of an open deal. */
export interface Deal {
  bidHash: Hex;
  offerHash: Hex;
  jobHash: Hex;
  buyer: string;
  provider: string;
  token: string;
  capacityId: Hex;
  cell: number;
  firstTask: number;
  taskCount: number;
  cycleLimit: bigint;
  startFee: bigint;
  unitPrice: bigint;
  priceCap: bigint;
  escrow: bigint;
  collateral: bigint;
  buyerTip: bigint;
  providerTip: bigint;
  openedAt: bigint;
  deadline: bigint;
  bidSalt: bigint;
  resources: bigint;
}

/** Chance that a claim about a deal is audited, and what an audit pays to all who take part in it. */
export interface AuditTerms {
  rateBps: number;
  /** Base units of the deal's token. */
  fee: bigint;
}

/** The audit terms of a deal, which lie in `resources` above what it reserves. */
export function auditTermsOf(deal: Pick<Deal, "resources">): AuditTerms {
  return { rateBps: Number((deal.resources >> 136n) & 0xffffn), fee: (deal.resources >> 152n) & ((1n << 96n) - 1n) };
}

/** The buyer's word that a claim is right. */
export interface Accept {
  dealId: Hex;
  claimHash: Hex;
}

/** The buyer's word that it holds the output of one task. */
export interface Receipt {
  dealId: Hex;
  task: number;
  outputRoot: Hex;
}

/** A provider's word by which somebody else may send its claim. */
export interface ClaimRelay {
  dealId: Hex;
  claimHash: Hex;
}

/** Every structure by its name. */
export interface Structures {
  JobSpec: JobSpec;
  Resources: Resources;
  Bid: Bid;
  Offer: Offer;
  Deal: Deal;
  Accept: Accept;
  Receipt: Receipt;
  ClaimRelay: ClaimRelay;
}

/** `"type name, type name"`: as the fields stand in Solidity. */
function fields(text: string): TypedDataField[] {
  return text.split(",").map((field) => {
    const [type, name] = field.trim().split(/\s+/);
    return { type: type!, name: name! };
  });
}

const FIELDS: { [Name in keyof Structures]: TypedDataField[] } = {
  JobSpec: fields(
    "uint32 machineVersion, bytes32 imageRoot, bytes32 inputsRoot, bytes32 manifest, bytes32 source, " +
      "uint64 cycleLimit, uint32 pageLimit, uint64 slotLimit, uint64 outputLimit, uint32 taskCount",
  ),
  Resources: fields("uint32 memoryMib, uint32 diskMib, uint16 gpuClass, uint16 gpuCount, uint32 egressMib"),
  Bid: fields(
    "address buyer, address token, bytes32 jobHash, uint32 tasks, uint64 cyclesExpected, Resources resources, " +
      "uint128 priceCap, uint128 valueOfTime, uint256 regions, uint256 attributes, uint32 roundTripMsMax, " +
      "bytes32 roundTripPlace, uint16 auditRateBps, uint128 auditFee, uint32 collateralBps, uint8 replicas, " +
      "uint32 queueTimeout, uint32 executionTimeout, uint16 rankWindow, uint128 tip, uint64 expiry, " +
      "uint256 salt, uint64 counter",
  ),
  Offer: fields(
    "address provider, address token, bytes32 capacityId, uint32 slots, bytes32 peerKey, uint8 region, " +
      "uint256 attributes, Resources resources, uint128 startFee, uint128 cyclePrice, uint128 memoryPrice, " +
      "uint128 diskPrice, uint128 gpuPrice, uint128 egressPrice, uint64 speed, uint128 collateralMax, " +
      "uint32 machineVersion, uint128 tip, uint64 expiry, uint256 salt, uint64 counter",
  ),
  Deal: fields(
    "bytes32 bidHash, bytes32 offerHash, bytes32 jobHash, address buyer, address provider, address token, " +
      "bytes32 capacityId, uint32 cell, uint32 firstTask, uint32 taskCount, uint64 cycleLimit, uint128 startFee, " +
      "uint128 unitPrice, uint128 priceCap, uint128 escrow, uint128 collateral, uint128 buyerTip, " +
      "uint128 providerTip, uint64 openedAt, uint64 deadline, uint256 bidSalt, uint256 resources",
  ),
  Accept: fields("bytes32 dealId, bytes32 claimHash"),
  Receipt: fields("bytes32 dealId, uint32 task, bytes32 outputRoot"),
  ClaimRelay: fields("bytes32 dealId, bytes32 claimHash"),
};

/** The types that EIP-712 needs for a structure that is signed. */
export function typesOf(name: keyof Structures): Record<string, TypedDataField[]> {
  const nested = FIELDS[name].some((field) => field.type === "Resources");
  return nested ? { [name]: FIELDS[name], Resources: FIELDS.Resources } : { [name]: FIELDS[name] };
}

/** One market on one chain: the domain under which everything is signed. */
export function domainOf(chainId: number | bigint, market: string): TypedDataDomain {
  return { name: "Outcry", version: "1", chainId, verifyingContract: market };
}

/** The EIP-712 digest: what is signed, and the id of an order. */
export function digest<Name extends keyof Structures>(
  domain: TypedDataDomain,
  name: Name,
  value: Structures[Name],
): Hex {
  return TypedDataEncoder.hash(domain, typesOf(name), value);
}

/** The words of a structure, as `abi.encode` gives them: every field is static. */
export function abiEncode<Name extends keyof Structures>(name: Name, value: Structures[Name]): Hex {
  const types: string[] = [];
  const values: unknown[] = [];
  flatten(name, value as unknown as Record<string, unknown>, types, values);
  return AbiCoder.defaultAbiCoder().encode(types, values);
}

function flatten(name: keyof Structures, value: Record<string, unknown>, types: string[], values: unknown[]): void {
  for (const field of FIELDS[name]) {
    if (field.type === "Resources") {
      flatten("Resources", value[field.name] as Record<string, unknown>, types, values);
    } else {
      types.push(field.type);
      values.push(value[field.name]);
    }
  }
}

/** `keccak256(abi.encode(JobSpec))`. */
export function jobHash(job: JobSpec): Hex {
  return keccak256(abiEncode("JobSpec", job));
}

/** `keccak256(abi.encode(separator, Deal))`. */
export function dealId(domain: TypedDataDomain, deal: Deal): Hex {
  return keccak256(TypedDataEncoder.hashDomain(domain) + abiEncode("Deal", deal).slice(2));
}

/** `keccak256(abi.encode(jobHash, uint256 index))`. */
export function taskId(job: Hex, index: number): Hex {
  return keccak256(job + toBeHex(index, 32).slice(2));
}

/** Bits of an integer type; `undefined` for other types. */
function bitsOf(type: string): number | undefined {
  return type.startsWith("uint") ? Number(type.slice(4)) : undefined;
}

/**
 * A structure in the API's JSON: integers of up to 32 bits are numbers, wider ones decimal strings.
 */
export function toJson<Name extends keyof Structures>(name: Name, value: Structures[Name]): Record<string, unknown> {
  const source = value as unknown as Record<string, unknown>;
  const out: Record<string, unknown> = {};
  for (const { type, name: field } of FIELDS[name]) {
    const item = source[field];
    const bits = bitsOf(type);
    if (type === "Resources") out[field] = toJson("Resources", item as Resources);
    else if (bits !== undefined && bits > 32) out[field] = BigInt(item as bigint).toString();
    else out[field] = item;
  }
  return out;
}

/** Reads {@link toJson} back, and refuses fields that are missing, unknown or out of range. */
export function fromJson<Name extends keyof Structures>(name: Name, json: unknown): Structures[Name] {
  const malformed = (what: string): OutcryError =>
    new OutcryError("O-001", `${name}: ${what}`, "Compare the fields with protocol/SPEC.md.");
  if (typeof json !== "object" || json === null) throw malformed("not an object");
  const source = json as Record<string, unknown>;
  const out: Record<string, unknown> = {};
  for (const { type, name: field } of FIELDS[name]) {
    const item = source[field];
    const bits = bitsOf(type);
    if (item === undefined) throw malformed(`${field} is missing`);
    if (type === "Resources") {
      out[field] = fromJson("Resources", item);
    } else if (bits !== undefined) {
      const isInteger = Number.isSafeInteger(item) || (typeof item === "string" && /^[0-9]+$/.test(item));
      if (!isInteger) throw malformed(`${field} is not an integer`);
      const value = BigInt(item as string);
      if (value < 0n || value >> BigInt(bits) !== 0n) throw malformed(`${field} does not fit ${type}`);
      out[field] = bits > 32 ? value : Number(value);
    } else if (type === "address") {
      if (!isAddress(item)) throw malformed(`${field} is not an address`);
      out[field] = getAddress(item);
    } else {
      if (typeof item !== "string" || !/^0x[0-9a-f]{64}$/i.test(item)) throw malformed(`${field} is not 32 bytes`);
      out[field] = item.toLowerCase();
    }
  }
  const known = new Set(FIELDS[name].map((field) => field.name));
  const unknown = Object.keys(source).find((field) => !known.has(field));
  if (unknown !== undefined) throw malformed(`${unknown} is unknown`);
  return out as unknown as Structures[Name];
}
