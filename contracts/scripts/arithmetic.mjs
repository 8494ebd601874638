#!/usr/bin/env node
// Writes test/machine/arithmetic.json: operands and results of the machine's operations 40 to c3, as
// this runtime's WebAssembly engine computes them. Every operation has one WebAssembly instruction of
// the same meaning; NaNs that arithmetic delivers are made canonical (`verifier/MACHINE.md`).
//
//     node scripts/arithmetic.mjs                        # the checked-in vectors
//     node scripts/arithmetic.mjs COUNT SEED FOLDER      # about COUNT others, in files of 20,000
//
// Per operation, a hex string of records of 25 bytes: x, y, result (8 bytes each, big-endian, as in
// slots), and 1 if the operation traps instead.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./forge.mjs";

const [I32, I64, F32, F64] = [0x7f, 0x7e, 0x7d, 0x7c];
const isFloat = (type) => type === F32 || type === F64;
const isWide = (type) => type === I64 || type === F64;

// Machine operation -> [WebAssembly's code, operands' types, result's type, result is canonical].
const operations = new Map();
const row = (first, codes, operands, result, canonical = false) =>
  codes.forEach((code, i) => operations.set(first + i, { code: [code].flat(), operands, result, canonical }));
const [u32, u64, f32, f64] = [I32, I64, F32, F64].map((type) => [type]);
const twice = (type) => [type, type];
row(0x40, [0x50], u64, I32);
row(0x41, [0x51, 0x52, 0x54, 0x56, 0x58, 0x5a], twice(I64), I32);
row(0x47, [0x83, 0x84, 0x85, 0x80, 0x82], twice(I64), I64);
row(0x50, [0x6a, 0x6b, 0x48, 0x4a, 0x4c, 0x4e, 0x6c, 0x6d, 0x6f, 0x74, 0x75, 0x76, 0x77, 0x78], twice(I32), I32);
row(0x5e, [0x67, 0x68, 0x69, 0xc0, 0xc1], u32, I32);
row(0x63, [0xa7], u64, I32);
row(0x68, [0x7c, 0x7d], twice(I64), I64);
row(0x6a, [0x53, 0x55, 0x57, 0x59], twice(I64), I32);
row(0x6e, [0x7e, 0x7f, 0x81, 0x86, 0x87, 0x88, 0x89, 0x8a], twice(I64), I64);
row(0x76, [0x79, 0x7a, 0x7b, 0xc2, 0xc3, 0xc4], u64, I64);
for (const [first, type, compare, unary, binary] of [
  [0x80, F32, 0x5b, 0x8b, 0x92],
  [0x94, F64, 0x61, 0x99, 0xa0],
]) {
  row(first, [0, 1, 2, 3, 4, 5].map((i) => compare + i), twice(type), I32);
  row(first + 6, [0, 1, 2, 3, 4, 5].map((i) => binary + i), twice(type), type, true);
  row(first + 12, [binary + 6], twice(type), type);
  row(first + 13, [unary, unary + 1], [type], type);
  row(first + 15, [2, 3, 4, 5, 6].map((i) => unary + i), [type], type, true);
}
for (const [first, code] of [[0xa8, (i) => (i < 4 ? 0xa8 : 0xae - 4) + i], [0xb4, (i) => [0xfc, i]]]) {
  for (let i = 0; i < 8; ++i) row(first + i, [code(i)], i & 2 ? f64 : f32, i < 4 ? I32 : I64);
}
row(0xb0, [0xb6], f64, F32, true);
row(0xb1, [0xbb], f32, F64, true);
for (let i = 0; i < 8; ++i) row(0xbc + i, [(i < 4 ? 0xb2 : 0xb7 - 4) + i], i & 2 ? u64 : u32, i < 4 ? F32 : F64);

/** A function of integers as they lie in slots. */
function compile({ code, operands, result }) {
  const integer = (type) => (isWide(type) ? I64 : I32);
  const vector = (items) => [items.length, ...items.flat()];
  const section = (id, ...items) => {
    const bytes = vector(items);
    return [id, bytes.length, ...bytes];
  };
  const body = [
    ...operands.flatMap((type, i) => [0x20, i, ...(isFloat(type) ? [type === F32 ? 0xbe : 0xbf] : [])]),
    ...code,
    ...(isFloat(result) ? [result === F32 ? 0xbc : 0xbd] : []),
    0x0b,
  ];
  const bytes = [
    [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    section(1, [0x60, ...vector(operands.map((type) => [integer(type)])), 1, integer(result)]),
    section(3, [0]),
    section(7, [1, 0x66, 0, 0]),
    section(10, [body.length + 1, 0, ...body]),
  ].flat();
  const { f } = new WebAssembly.Instance(new WebAssembly.Module(new Uint8Array(bytes))).exports;
  const argument = (type, x) => (isWide(type) ? BigInt.asIntN(64, x) : Number(BigInt.asIntN(32, x)));
  return (...xs) => BigInt.asUintN(isWide(result) ? 64 : 32, BigInt(f(...xs.map((x, i) => argument(operands[i], x)))));
}

function canonicalised(bits, type) {
  if (type === F32) return (bits & 0x7fffffffn) > 0x7f800000n ? 0x7fc00000n : bits;
  return (bits & 0x7fffffffffffffffn) > 0x7ff0000000000000n ? 0x7ff8000000000000n : bits;
}

// Operands.

let state;
/** SplitMix64. */
function random() {
  state = BigInt.asUintN(64, state + 0x9e3779b97f4a7c15n);
  let z = state;
  z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
  z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
  return z ^ (z >> 31n);
}
const below = (n) => Number(random() % BigInt(n));
const pick = (list) => list[below(list.length)];

const fraction = { [F32]: 23n, [F64]: 52n };
const width = { [I32]: 32n, [I64]: 64n, [F32]: 32n, [F64]: 64n };
const cut = (type, x) => BigInt.asUintN(Number(width[type]), x);
const view = new DataView(new ArrayBuffer(8));
function bitsOf(type, number) {
  view.setBigUint64(0, 0n);
  if (type === F32) view.setFloat32(4, number);
  else view.setFloat64(0, number);
  return view.getBigUint64(0);
}

const integers = (type) => {
  const top = 1n << (width[type] - 1n);
  return [0n, 1n, 2n, 3n, 7n, 31n, 32n, 63n, 64n, 127n, 128n, 255n, 32767n, 32768n, 65535n, top - 1n, top, top + 1n, -1n, -2n, -31n]
    .map((x) => cut(type, x));
};
const floats = (type) => {
  const p = fraction[type];
  const infinity = ((1n << (width[type] - 1n - p)) - 1n) << p;
  const one = bitsOf(type, 1);
  const magnitudes = [0n, 1n, 2n, (1n << p) - 1n, 1n << p, (1n << p) + 1n, infinity - 1n, infinity, infinity + 1n,
    infinity | (1n << (p - 1n)), infinity | (1n << (p - 1n)) | 1n, one - 1n, one, one + 1n];
  for (const number of [0.5, 1.5, 2, 2.5, 3, 4.75, 2 ** 22 + 0.5, 2 ** 23, 2 ** 24 + 1, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32,
    2 ** 52 - 0.5, 2 ** 53 + 1, 2 ** 63, 2 ** 64, 2 ** -126, 2 ** -149, 2 ** -150, 2 ** -1022]) {
    const bits = bitsOf(type, number);
    magnitudes.push(bits, bits - 1n, bits + 1n);
  }
  return magnitudes.flatMap((bits) => [cut(type, bits < 0n ? 0n : bits), cut(type, bits < 0n ? 0n : bits) | (1n << (width[type] - 1n))]);
};
const specials = Object.fromEntries([I32, I64].map((t) => [t, integers(t)]).concat([F32, F64].map((t) => [t, floats(t)])));

function operand(type, x, y) {
  switch (below(8)) {
    case 0:
    case 1:
      return pick(specials[type]);
    case 2:
      // Few bits set, at any place.
      return cut(type, (random() & 0xffn) << BigInt(below(64)));
    case 3:
      return cut(type, ~((random() & 0xffn) << BigInt(below(64))));
    case 4: {
      // Like the other operand, but for a bit or an exponent that is close.
      if (x === undefined) return cut(type, random());
      if (!isFloat(type)) return cut(type, x ^ (1n << BigInt(below(64))));
      return cut(type, x + ((random() % 64n) - 32n << fraction[type]) + (random() % 5n) - 2n ^ BigInt(below(2)) << (width[type] - 1n));
    }
    case 5: {
      if (!isFloat(type)) return cut(type, random() >> BigInt(below(64)));
      // Around one and around integers: digits that end early.
      const bits = cut(type, random());
      const drop = BigInt(below(Number(fraction[type]) + 1));
      const exponent = (bitsOf(type, 1) >> fraction[type]) + BigInt(below(70)) - 4n;
      const mantissa = ((bits & ((1n << fraction[type]) - 1n)) >> drop) << drop;
      return (exponent << fraction[type]) | mantissa | (bits >> (width[type] - 1n) << (width[type] - 1n));
    }
    default:
      return cut(type, random());
  }
}

/** What only doubles rounded twice, or rounded at the wrong place, get wrong. */
function tie(type, wide) {
  // 24 or 53 digits, a one behind them, and sometimes something far behind.
  const p = type === F32 ? 24n : 53n;
  const digits = (1n << (p - 1n)) | (random() & ((1n << (p - 1n)) - 1n));
  const length = BigInt(wide ? 64 : 32);
  const shift = length - p - 1n;
  if (shift < 1n) return cut(wide ? I64 : I32, random());
  const tail = below(3) === 0 ? 1n : 0n;
  return (((digits << 1n) | 1n) << (shift - 1n)) | tail;
}

/** The numbers at which floats behave otherwise, in every combination. */
function corners(operands) {
  if (!isFloat(operands[0])) return [];
  const type = operands[0];
  const sign = 1n << (width[type] - 1n);
  const infinity = bitsOf(type, Infinity);
  const all = [0n, 1n, bitsOf(type, 0.5), bitsOf(type, 1), bitsOf(type, 1.5), infinity - 1n, infinity].flatMap((x) => [x, x | sign]);
  return operands.length === 1 ? all.map((x) => [x]) : all.flatMap((x) => all.map((y) => [x, y]));
}

function make(count, seed, first = () => []) {
  state = seed;
  const vectors = {};
  for (const [op, operation] of operations) {
    const f = compile(operation);
    const { operands, result, canonical } = operation;
    const records = [];
    const given = first(operands);
    for (let i = -given.length; i < count; ++i) {
      const xs = i < 0 ? given[i + given.length] : [];
      if (i >= 0) for (const type of operands) xs.push(operand(type, xs[0]));
      // What division must not do, and equals.
      if (i === 0 && xs.length === 2) xs[1] = 0n;
      if (i === 1 && xs.length === 2) xs.splice(0, 2, 1n << (width[operands[0]] - 1n), cut(operands[0], -1n));
      if (i === 2 && xs.length === 2) xs[1] = xs[0];
      if (op >= 0xbc && i >= 0 && i % 4 === 0) xs[0] = tie(result, isWide(operands[0]));
      if (op === 0xb0 && i >= 0 && i % 4 === 0) {
        // Doubles half-way between singles, subnormal ones too.
        const cutAt = 28n + BigInt(below(26));
        const exponent = BigInt(below(4) === 0 ? 1023 + below(40) - 20 : 1023 - 150 + below(30));
        xs[0] = (exponent << 52n) | (((random() & 0xfffffffffffffn) >> cutAt) << cutAt) | (1n << (cutAt - 1n)) | BigInt(below(3) === 0 ? 1 : 0);
      }
      let [z, traps] = [0n, 0];
      try {
        z = f(...xs);
        if (canonical) z = canonicalised(z, result);
      } catch {
        traps = 1;
      }
      const hex = (x) => (x ?? 0n).toString(16).padStart(16, "0");
      records.push(hex(xs[0]) + hex(xs[1]) + hex(z) + hex(BigInt(traps)).slice(-2));
    }
    vectors[op.toString(16)] = "0x" + records.join("");
  }
  return vectors;
}

const write = (path, vectors) => writeFileSync(path, `${JSON.stringify(vectors, null, 1)}\n`);
const [count, seed, folder] = process.argv.slice(2);
if (count === undefined) {
  write(join(root, "test/machine/arithmetic.json"), make(40, 1n, corners));
} else {
  const perFile = Math.floor(20_000 / operations.size);
  for (let i = 0; i * perFile * operations.size < Number(count); ++i) {
    write(join(folder, `arithmetic-${i}.json`), make(perFile, (BigInt(seed) << 32n) + BigInt(i)));
  }
}
