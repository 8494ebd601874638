import assert from "node:assert/strict";
import { test } from "node:test";
import { MaxUint256, ZeroAddress, ZeroHash } from "ethers";

import { buildBid, jobHash, usualAuditFee, validateBid } from "../src/index.js";
import { medianPrice, salts } from "../src/bid.js";
import type { Bid, JobSpec, Offer, Place, Terms } from "../src/index.js";

const job: JobSpec = {
  machineVersion: 1,
  imageRoot: ZeroHash,
  inputsRoot: ZeroHash,
  manifest: ZeroHash,
  source: ZeroHash,
  cycleLimit: 10n ** 12n,
  pageLimit: 16_384,
  slotLimit: 1n << 20n,
  outputLimit: 1n << 20n,
  taskCount: 3,
};
const place: Place = { buyer: "0x00000000000000000000000000000000000000B1", token: ZeroAddress, priceCap: 5n, auditFee: 0n, now: 1_000, salt: 7n, counter: 2n };

test("a bid without wishes reserves what the job may use, anywhere, for an hour", () => {
  const bid = buildBid(job, {}, place);
  assert.equal(bid.resources.memoryMib, 1024);
  assert.equal(bid.regions, MaxUint256);
  assert.equal(bid.expiry, 4_600n);
  assert.equal(bid.executionTimeout, 4_000);
  assert.equal(bid.cyclesExpected, 100_000_000_000n);
  assert.equal(bid.jobHash, jobHash(job));
});

test("a wish beyond a limit is refused with the protocol's code before anything is signed", () => {
  const wishes: [Terms, string][] = [
    [{ queueTimeoutS: 0 }, "O-009"],
    [{ executionTimeoutS: 31 * 86_400 }, "O-009"],
    [{ lifeS: 8 * 86_400 }, "O-006"],
    [{ lifeS: -1 }, "O-005"],
    [{ collateralBps: 1_000_001 }, "O-015"],
    [{ cyclesExpected: 10n ** 12n + 1n }, "O-013"],
    [{ memoryMib: 1023 }, "O-014"],
    [{ regions: 0n }, "O-008"],
    [{ tip: (1n << 100n) + 1n }, "O-007"],
    [{ valueOfTime: -1n }, "O-007"],
    [{ auditRateBps: 1 }, "O-023"],
  ];
  for (const [terms, code] of wishes) assert.throws(() => buildBid(job, terms, place), { code }, JSON.stringify(Object.keys(terms)));
});

test("a bid that does not fit its job, or asks for what does not exist yet, is refused", () => {
  const good = buildBid(job, {}, place);
  const changes: [Partial<Bid>, string][] = [
    [{ jobHash: ZeroHash }, "O-002"],
    [{ tasks: 4 }, "O-004"],
    [{ buyer: ZeroAddress }, "O-019"],
    [{ replicas: 2 }, "O-020"],
    [{ resources: { ...good.resources, gpuCount: 1 } }, "O-021"],
    [{ roundTripMsMax: 1 }, "O-022"],
    [{ auditFee: 1n }, "O-023"],
    [{ auditRateBps: 10_001, auditFee: 1n }, "O-023"],
    [{ auditRateBps: NaN, auditFee: 1n }, "O-023"],
    [{ auditRateBps: -1, auditFee: 1n }, "O-023"],
    [{ auditRateBps: 1, auditFee: 1n << 96n }, "O-023"],
    [{ rankWindow: 33 }, "O-024"],
  ];
  for (const [change, code] of changes) assert.throws(() => validateBid({ ...good, ...change }, job, 1_000), { code }, code);
  const limits: [Partial<JobSpec>, string][] = [
    [{ machineVersion: 2 }, "O-025"],
    [{ cycleLimit: (1n << 44n) + 1n }, "O-003"],
    [{ pageLimit: 65_537 }, "O-003"],
    [{ slotLimit: 0n }, "O-003"],
    [{ outputLimit: (1n << 36n) + 1n }, "O-003"],
    [{ taskCount: 0 }, "O-004"],
  ];
  for (const [change, code] of limits) assert.throws(() => buildBid({ ...job, ...change }, {}, place), { code }, code);
});

test("a usual audit fee pays every party for a run in the interpreter, rounded up for each", () => {
  // As in sdk/rust/src/bid.rs: a tenth of the cap, twenty times, for two auditors and the provider.
  assert.equal(usualAuditFee({}, job, 1_000n, 2), 6_000n);
  assert.equal(usualAuditFee({ cyclesExpected: 3n }, job, 1_000n, 2), 3n);
  const auditFee = usualAuditFee({}, job, place.priceCap, 2);
  const bid = buildBid(job, { auditRateBps: 500 }, { ...place, auditFee });
  assert.deepEqual([bid.auditRateBps, bid.auditFee], [500, 30n]);
});

test("without a stated price half of the offers fit", () => {
  const reserved = { memoryMib: 1, diskMib: 0, gpuClass: 0, gpuCount: 0, egressMib: 0 };
  const offer = (startFee: bigint): Offer =>
    ({ startFee, cyclePrice: 0n, memoryPrice: 0n, diskPrice: 0n, gpuPrice: 0n, egressPrice: 0n }) as Offer;
  assert.equal(medianPrice([40n, 10n, 20n, 30n].map(offer), reserved, 1n), 20n);
  assert.throws(() => medianPrice([], reserved, 1n), { code: "M-017" });
});

test("no salt is given twice", () => {
  const [one, two] = [salts(), salts()];
  const given = new Set(Array.from({ length: 100 }, () => [one.next().value, two.next().value]).flat());
  assert.equal(given.size, 200);
});
