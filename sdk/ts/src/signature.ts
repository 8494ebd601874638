/**
 * Signatures as the market takes them from keys: 65 bytes with v 27 or 28, or the 64 bytes of
 * EIP-2098; s in the lower half of the group order. Vectors: `signatures.json`, `orders.json`.
 *
 * A signature that does not recover to its account may still be that of a contract (ERC-1271):
 * that question needs the chain, and the market asks it.
 */
import { Signature, getBytes, isHexString, recoverAddress, toBeHex } from "ethers";

import type { Hex } from "./bytes.js";

/** Half of the order of secp256k1, rounded down. */
const S_MAX = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0n;

/** The 64-byte form (EIP-2098) of a signature. */
export function compactSignature(signature: Hex): Hex {
  return Signature.from(signature).compactSerialized;
}

/** The account whose key signed, or `undefined` if the bytes are no canonical signature. */
export function recoverSigner(digest: Hex, signature: Hex): string | undefined {
  if (!isHexString(signature)) return undefined;
  const bytes = getBytes(signature);
  if (bytes.length !== 64 && bytes.length !== 65) return undefined;
  const r = BigInt(signature.slice(0, 66));
  let s = BigInt(`0x${signature.slice(66, 130)}`);
  let v = bytes[64];
  if (v === undefined) {
    v = 27 + Number(s >> 255n);
    s &= (1n << 255n) - 1n;
  }
  if ((v !== 27 && v !== 28) || r === 0n || s === 0n || s > S_MAX) return undefined;
  try {
    return recoverAddress(digest, { r: toBeHex(r, 32), s: toBeHex(s, 32), v: v as 27 | 28 });
  } catch {
    return undefined; // r is the x coordinate of no point
  }
}
