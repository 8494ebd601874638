import { blake3 as nobleBlake3 } from "@noble/hashes/blake3.js";
import { hexlify } from "ethers";

/** `0x` and hex digits. */
export type Hex = string;

/** BLAKE3 of some bytes as the network names blobs: 64 hex digits without `0x`. */
export function blake3(bytes: Uint8Array): string {
  return hexlify(nobleBlake3(bytes)).slice(2);
}

/** The bytes of several arrays, one after another. */
export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Negative, zero or positive as `a` is before, equal to or after `b`, byte by byte. */
export function compare(a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.length, b.length);
  for (let i = 0; i < shared; i++) {
    const difference = a[i]! - b[i]!;
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}
