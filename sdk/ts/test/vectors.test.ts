// The SDK gives the bytes of protocol/vectors, which Rust and Solidity give too.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { TypedDataEncoder, Wallet, getBytes, id } from "ethers";

import { pack } from "../src/archive.js";
import { depthForBytes, zeroSubtree } from "../src/hashes.js";
import * as sdk from "../src/index.js";
import type { Structures } from "../src/index.js";

type Vector = Record<string, any>;

function vectors(name: string): Vector {
  return JSON.parse(readFileSync(new URL(`../../../../protocol/vectors/${name}.json`, import.meta.url), "utf8"));
}

function list(of: Vector, name: string): Vector[] {
  assert.ok(Array.isArray(of[name]) && of[name].length > 0, `no vectors named ${name}`);
  return of[name];
}

const domainVector = vectors("domain");
const domain = sdk.domainOf(domainVector.chainId, domainVector.verifyingContract);

test("the domain and the types of what is signed are those of the vectors", () => {
  assert.equal(TypedDataEncoder.hashDomain(domain), domainVector.separator);
  for (const { name, encodeType, typeHash } of list(domainVector, "types")) {
    const encoder = TypedDataEncoder.from(sdk.typesOf(name));
    assert.equal(encoder.encodeType(name), encodeType);
    assert.equal(id(encodeType), typeHash);
  }
});

const signed: [string, keyof Structures][] = [
  ["bids", "Bid"],
  ["offers", "Offer"],
  ["accepts", "Accept"],
  ["receipts", "Receipt"],
  ["relays", "ClaimRelay"],
];
for (const [group, name] of signed) {
  test(`${group} have the encoding, the digest and the signature of the vectors`, async () => {
    for (const vector of list(vectors("orders"), group)) {
      const value = sdk.fromJson(name, vector.message);
      assert.equal(sdk.abiEncode(name, value), vector.encoded, vector.name);
      assert.equal(sdk.digest(domain, name, value), vector.digest, vector.name);
      const signature = await new Wallet(vector.signerKey).signTypedData(domain, sdk.typesOf(name), value);
      assert.equal(signature, vector.signature, vector.name);
      assert.equal(sdk.compactSignature(signature), vector.compact, vector.name);
    }
  });
}

test("a signature of either length recovers to its signer, and no other bytes do", () => {
  const { accepted, refused } = vectors("signatures");
  for (const { digest, signature, signer, why } of accepted) assert.equal(sdk.recoverSigner(digest, signature), signer, why);
  for (const { digest, signature, signer, why } of refused) assert.notEqual(sdk.recoverSigner(digest, signature), signer, why);
  assert.ok(accepted.length >= 2 && refused.length >= 8);
});

test("a structure reads back from its JSON, and a wrong field is refused", () => {
  for (const vector of list(vectors("orders"), "bids")) {
    const bid = sdk.fromJson("Bid", vector.message);
    assert.deepEqual(sdk.fromJson("Bid", sdk.toJson("Bid", bid)), bid);
    assert.throws(() => sdk.fromJson("Bid", { ...vector.message, tasks: 2 ** 32 }), /does not fit/);
    assert.throws(() => sdk.fromJson("Bid", { ...vector.message, priceCap: "-1" }), /not an integer/);
    assert.throws(() => sdk.fromJson("Bid", { ...vector.message, extra: 1 }), /extra is unknown/);
    assert.throws(() => sdk.fromJson("Bid", { ...vector.message, salt: undefined }), /salt is missing/);
  }
});

test("jobs and tasks have the hashes of the vectors", () => {
  for (const vector of list(vectors("orders"), "jobs")) {
    const job = sdk.fromJson("JobSpec", vector.message);
    assert.equal(sdk.abiEncode("JobSpec", job), vector.encoded);
    assert.equal(sdk.jobHash(job), vector.jobHash);
  }
  for (const { jobHash, index, taskId } of list(vectors("hashes"), "tasks")) {
    assert.equal(sdk.taskId(jobHash, index), taskId);
  }
});

test("inputs, outputs and task trees have the roots of the vectors", () => {
  const hashes = vectors("hashes");
  for (const { bytes, inputRoot } of list(hashes, "inputs").filter((vector) => vector.bytes !== undefined)) {
    assert.equal(sdk.inputRoot(getBytes(bytes)), inputRoot);
  }
  for (const { bytes, outputLimit, outputRoot } of list(hashes, "outputs").filter((vector) => vector.bytes !== undefined)) {
    assert.equal(sdk.outputRoot(getBytes(bytes), BigInt(outputLimit)), outputRoot);
  }
  for (const { leaves, inputsRoot } of list(hashes, "taskTrees")) assert.equal(sdk.inputsRoot(leaves), inputsRoot);
});

test("the least output limit is that of the vectors, the length of an output that says nothing", () => {
  const least = BigInt(vectors("hashes").outputLimitMin);
  const nothing = new Uint8Array();
  assert.equal(BigInt(pack(new Map([["stderr", nothing], ["stdout", nothing]])).length), least);
  const program = { wasm: nothing, imageRoot: `0x${"11".repeat(32)}` };
  const withLimit = (outputBytes: bigint) =>
    sdk.buildJob({ program, args: ["p"], limits: { outputBytes } }, `0x${"22".repeat(32)}`);
  assert.equal(withLimit(least).spec.outputLimit, least);
  assert.throws(() => withLimit(least - 1n), { code: "O-003" });
});

test("Merkle roots are those of the vectors", () => {
  const merkle = vectors("merkle");
  for (const { data, depth, root } of list(merkle, "roots")) {
    assert.equal(sdk.merkleRoot(getBytes(data), depth), root);
  }
  for (const { length, depth } of list(merkle, "depths")) assert.equal(depthForBytes(BigInt(length)), depth, length);
  for (const [depth, root] of list(merkle, "zeroSubtrees").entries()) assert.equal(zeroSubtree(depth), root);
});

test("Merkle proofs are those of the vectors, and those made here lead to the root", () => {
  for (const { leaf, index, siblings, root } of list(vectors("merkle"), "proofs")) {
    assert.equal(sdk.rootOfProof(leaf, index, siblings), root);
    assert.notEqual(sdk.rootOfProof(root, index, siblings), root);
  }
  const leaves = sdk.leavesOf(new Uint8Array(5 * 128).map((_, at) => at));
  for (let index = 0; index < 8; index++) {
    const leaf = leaves[index] ?? zeroSubtree(0);
    assert.equal(sdk.rootOfProof(leaf, index, sdk.merkleProof(leaves, 3, index)), sdk.rootOfLeaves(leaves, 3));
  }
  assert.throws(() => sdk.merkleProof(leaves, 3, 8), { code: "B-003" });
});

test("halted machines have the hashes of the vectors", () => {
  for (const vector of list(vectors("hashes"), "halted")) {
    const status = sdk.STATUSES[vector.status];
    assert.ok(status);
    const inner = sdk.innerHash({
      status,
      exitCode: vector.exitCode,
      outputRoot: vector.outputRoot,
      outputLength: BigInt(vector.outputLength),
    });
    assert.equal(inner, vector.inner, vector.name);
    assert.equal(sdk.haltedHash(vector.jobHash, vector.task, BigInt(vector.cycles), inner), vector.haltedHash, vector.name);
  }
});

test("a claim follows from a deal and its tasks as in the vectors", () => {
  for (const vector of list(vectors("claims"), "claims")) {
    const deal = sdk.fromJson("Deal", vector.deal);
    assert.equal(sdk.abiEncode("Deal", deal), vector.encodedDeal);
    assert.equal(sdk.dealId(domain, deal), vector.dealId);
    const audits = { rateBps: vector.auditRateBps, fee: BigInt(vector.auditFee) };
    assert.deepEqual(sdk.auditTermsOf(deal), audits, vector.name);
    const claim = sdk.computeClaim(deal, sdk.decodeClaimedTasks(vector.tasks));
    assert.equal(claim.resultRoot, vector.resultRoot, vector.name);
    assert.equal(claim.cycles, BigInt(vector.cycles), vector.name);
    assert.equal(claim.price, BigInt(vector.price), vector.name);
    assert.equal(sdk.hashClaim(vector.dealId, claim), vector.claimHash, vector.name);
  }
});

/** The vector's amount, or a refusal where it is empty. */
function amount(expected: string, compute: () => bigint, name: string): void {
  if (expected === "") assert.throws(compute, { code: "M-019" }, name);
  else assert.equal(compute(), BigInt(expected), name);
}

test("prices, escrows and what is taken from them are those of the vectors", () => {
  const money = vectors("money");
  for (const vector of list(money, "prices")) {
    const tariff = { startFee: BigInt(vector.startFee), unitPrice: BigInt(vector.unitPrice), priceCap: BigInt(vector.priceCap) };
    const cycles = BigInt(vector.cycles);
    assert.equal(sdk.taskPrice(tariff, cycles), BigInt(vector.taskPrice), vector.name);
    amount(vector.escrow, () => sdk.escrow(tariff, vector.count, cycles), vector.name);
  }
  for (const vector of list(money, "unitPrices")) {
    const prices = Object.fromEntries(
      ["cyclePrice", "memoryPrice", "diskPrice", "gpuPrice", "egressPrice"].map((key) => [key, BigInt(vector[key])]),
    ) as unknown as sdk.Offer;
    amount(vector.unitPrice, () => sdk.unitPrice(prices, sdk.fromJson("Resources", vector.resources)), "unit price");
  }
  for (const { escrow, bps, collateral } of list(money, "collaterals")) {
    amount(collateral, () => sdk.collateral(BigInt(escrow), bps), `${bps} of ${escrow}`);
  }
  for (const { escrow, tip, auditFee, reserve } of list(money, "reserves")) {
    amount(reserve, () => sdk.reserve(BigInt(escrow), BigInt(tip), BigInt(auditFee)), `${escrow}, ${tip} and ${auditFee}`);
  }
  for (const { priceCap, tasks, tip, auditFee, exposure } of list(money, "exposures")) {
    const expose = (): bigint => sdk.bidExposure(BigInt(priceCap), tasks, BigInt(tip), BigInt(auditFee));
    amount(exposure, expose, `${tasks} tasks at ${priceCap}`);
  }
  for (const { amount: of, bps, fee, admissionFee } of list(money, "shares")) {
    assert.deepEqual([sdk.share(BigInt(of), bps), sdk.share(BigInt(of), bps)], [BigInt(fee), BigInt(admissionFee)]);
  }
  for (const { amount: of, toBuyer, burned } of list(money, "slashes")) {
    assert.deepEqual(sdk.divideSlash(BigInt(of)), { toBuyer: BigInt(toBuyer), burned: BigInt(burned) });
  }
});

test("jobs have the states of the vectors, and statuses their numbers", () => {
  const states = list(vectors("lifecycle"), "jobStates").map(({ name, terminal }) => [name, terminal]);
  assert.deepEqual(sdk.JOB_STATES, Object.fromEntries(states));
  for (const { name, number } of list(vectors("hashes"), "statuses")) {
    assert.equal(sdk.STATUSES[number]?.toLowerCase(), name.replaceAll(" ", ""));
  }
});

test("every code that the SDK throws is in the registry", () => {
  const registry = new Set(list(vectors("codes"), "codes").map((code) => code.id));
  const folder = new URL("../../src/", import.meta.url);
  const used = readdirSync(folder).flatMap((file) => readFileSync(new URL(file, folder), "utf8").match(/"[A-Z]-\d{3}"/g) ?? []);
  assert.ok(used.length > 50);
  for (const code of used) assert.ok(registry.has(JSON.parse(code)), code);
});
