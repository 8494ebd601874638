/** `network.toml`: the facts by which a client takes part in one network. */
import { getAddress, isAddress } from "ethers";
import { parse } from "smol-toml";

import { OutcryError } from "./errors.js";

/** A payment token and how to show it. The zero address is the chain's own coin. */
export interface Token {
  symbol: string;
  address: string;
  decimals: number;
}

/** One market on one chain, and the doors to it. */
export interface Network {
  chainId: number;
  /** JSON-RPC endpoint of the chain. */
  rpc: string;
  /** HTTP API of a node that serves buyers. */
  api: string;
  market: string;
  stake: string;
  /** The protocol's own token. */
  token: string;
  /** The auction of reserved capacity, where there is one. */
  auction?: string;
  /** Payment tokens; the first is what orders pay in by default. */
  tokens: Token[];
  /** File with a funded account's key, relative to the network file. Only test networks name one. */
  keyFile?: string;
  /** File of the CPython program that runs scripts, relative to the network file. */
  python?: string;
}

const KEYS = ["chain_id", "rpc", "api", "market", "stake", "token", "auction", "shards", "bootstrap", "key_file", "python", "tokens"];

/** Reads the text of a `network.toml`. */
export function parseNetwork(text: string): Network {
  const wrong = (reason: string): OutcryError =>
    new OutcryError("C-004", `the network file can't be used: ${reason}`, "`outcry-testnet up --dir DIR` writes one.");
  let table: Record<string, unknown>;
  try {
    table = parse(text);
  } catch (error) {
    throw wrong(error instanceof Error ? error.message : String(error));
  }
  const unknown = Object.keys(table).find((key) => !KEYS.includes(key));
  if (unknown !== undefined) throw wrong(`the key ${unknown} is unknown`);
  const string = (key: string): string => {
    const value = table[key];
    if (typeof value !== "string") throw wrong(`${key} is missing`);
    return value;
  };
  const address = (key: string): string => {
    const text = string(key);
    if (!isAddress(text)) throw wrong(`${key} is no address`);
    return getAddress(text);
  };
  const chainId = table["chain_id"];
  if (typeof chainId !== "number" || !Number.isSafeInteger(chainId)) throw wrong("chain_id is missing");
  const tokens = (Array.isArray(table["tokens"]) ? table["tokens"] : []).map((entry: unknown): Token => {
    const { symbol, address, decimals } = entry as Record<string, unknown>;
    if (typeof symbol !== "string" || !isAddress(address) || typeof decimals !== "number") {
      throw wrong("a token lacks symbol, address or decimals");
    }
    return { symbol, address: getAddress(address), decimals };
  });
  const { key_file: keyFile, python } = table;
  return {
    chainId,
    rpc: string("rpc"),
    api: string("api"),
    market: address("market"),
    stake: address("stake"),
    token: address("token"),
    tokens,
    ...(table["auction"] !== undefined && { auction: address("auction") }),
    ...(typeof keyFile === "string" && { keyFile }),
    ...(typeof python === "string" && { python }),
  };
}
