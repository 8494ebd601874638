// The SDK gives the bytes of protocol/vectors, which Rust and Solidity give too.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { TypedDataEncoder, Wallet, getBytes, id } from "ethers";

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
    }
  });
}

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

test("inputs, outputs, task trees and images have the roots of the vectors", () => {
  const hashes = vectors("hashes");
  for (const { bytes, inputRoot } of list(hashes, "inputs").filter((vector) => vector.bytes !== undefined)) {
    assert.equal(sdk.inputRoot(getBytes(bytes)), inputRoot);
  }
  for (const { bytes, outputLimit, outputRoot } of list(hashes, "outputs").filter((vector) => vector.bytes !== undefined)) {
    assert.equal(sdk.outputRoot(getBytes(bytes), BigInt(outputLimit)), outputRoot);
  }
  for (const { leaves, inputsRoot } of list(hashes, "taskTrees")) assert.equal(sdk.inputsRoot(leaves), inputsRoot);
  for (const { module, imageRoot } of list(hashes, "images")) assert.equal(sdk.imageRoot(getBytes(module)), imageRoot);
});

test("Merkle roots are those of the vectors", () => {
  for (const { data, depth, root } of list(vectors("merkle"), "roots")) {
    assert.equal(sdk.merkleRoot(getBytes(data), depth), root);
  }
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
    const calldata = getBytes(vector.tasks);
    const tasks = Array.from({ length: calldata.length / 38 }, (_, index) => {
      const record = Buffer.from(calldata.subarray(index * 38, index * 38 + 38));
      return { cycles: BigInt(record.readUIntBE(0, 6)), inner: `0x${record.toString("hex", 6)}` };
    });
    const claim = sdk.computeClaim(deal, tasks);
    assert.equal(claim.resultRoot, vector.resultRoot, vector.name);
    assert.equal(claim.cycles, BigInt(vector.cycles), vector.name);
    assert.equal(claim.price, BigInt(vector.price), vector.name);
    assert.equal(sdk.hashClaim(vector.dealId, claim), vector.claimHash, vector.name);
  }
});

test("prices are those of the vectors", () => {
  const money = vectors("money");
  for (const { startFee, unitPrice, priceCap, cycles, taskPrice, name } of list(money, "prices")) {
    const tariff = { startFee: BigInt(startFee), unitPrice: BigInt(unitPrice), priceCap: BigInt(priceCap) };
    assert.equal(sdk.taskPrice(tariff, BigInt(cycles)), BigInt(taskPrice), name);
  }
  for (const vector of list(money, "unitPrices")) {
    const prices = Object.fromEntries(
      ["cyclePrice", "memoryPrice", "diskPrice", "gpuPrice", "egressPrice"].map((key) => [key, BigInt(vector[key])]),
    ) as unknown as sdk.Offer;
    const reserved = sdk.fromJson("Resources", vector.resources);
    if (vector.unitPrice === "") assert.throws(() => sdk.unitPrice(prices, reserved), /128 bits/);
    else assert.equal(sdk.unitPrice(prices, reserved), BigInt(vector.unitPrice));
  }
});
