// Deposits and refusals, against a chain of this file that answers and records.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Interface, JsonRpcProvider, Transaction, TypedDataEncoder, Wallet, ZeroAddress, ZeroHash, id, toBeHex, verifyTypedData } from "ethers";
import type { JsonRpcPayload, JsonRpcResult } from "ethers";

import { AUDITS_ABI, Chain, MARKET_ABI } from "../src/index.js";
import type { Network } from "../src/index.js";

const MARKET = "0x1111111111111111111111111111111111111111";
const TOKEN = "0x2222222222222222222222222222222222222222";
const AUDITS = "0x3333333333333333333333333333333333333333";
/** Every parameter of market and audits that is no address is one. */
const PARAMETERS = Object.fromEntries(
  [MARKET_ABI, AUDITS_ABI].flatMap((abi) =>
    new Interface(abi).getFunction("parameters")!.outputs[0]!.components!.map(({ name, type }) => [name, type === "address" ? MARKET : 1]),
  ),
);
const market = new Interface(MARKET_ABI);
const erc20 = new Interface([
  "function balanceOf(address) view returns (uint256)",
  "function allowance(address, address) view returns (uint256)",
  "function approve(address, uint256) returns (bool)",
  "function name() view returns (string)",
  "function nonces(address) view returns (uint256)",
  "function DOMAIN_SEPARATOR() view returns (bytes32)",
]);
const domain = { name: "Token", version: "1", chainId: 1, verifyingContract: TOKEN };
const account = Wallet.createRandom();
const network: Network = { chainId: 1, rpc: "", api: "", market: MARKET, stake: MARKET, token: MARKET, tokens: [] };

/** A token and a market, as a test wants them. */
interface Told {
  wallet: bigint;
  allowance: bigint;
  /** The permit domain's separator; a token without permits has none. */
  separator?: string;
  /** The error by which the market refuses every transaction. */
  refusal?: string;
  coin: bigint;
}

class FakeChain extends JsonRpcProvider {
  readonly sent: Transaction[] = [];
  readonly #told: Told;

  constructor(told: Partial<Told>) {
    super("http://127.0.0.1:1", 1, { staticNetwork: true, cacheTimeout: -1, pollingInterval: 1 });
    this.#told = { wallet: 100n, allowance: 0n, coin: 10n ** 18n, ...told };
  }

  override async _send(payload: JsonRpcPayload | JsonRpcPayload[]): Promise<JsonRpcResult[]> {
    return [payload].flat().map(({ id, method, params }) => {
      try {
        return { id, result: this.#answer(method, params as any[]) };
      } catch (error) {
        return { id, error } as unknown as JsonRpcResult; // ethers types answers without their errors
      }
    });
  }

  #answer(method: string, params: any[]): unknown {
    const told = this.#told;
    switch (method) {
      case "eth_call":
        return this.#call(params[0].to.toLowerCase(), params[0].data);
      case "eth_getBlockByNumber":
        return { number: "0x1", hash: ZeroHash, parentHash: ZeroHash, timestamp: "0x64", gasLimit: "0x0", gasUsed: "0x0", miner: ZeroAddress, extraData: "0x", nonce: "0x0000000000000000", difficulty: "0x0", transactions: [] };
      case "eth_getBalance":
        return toBeHex(told.coin);
      case "eth_estimateGas":
        return "0x10000";
      case "eth_gasPrice":
        return "0x1";
      case "eth_getTransactionCount":
        return toBeHex(this.sent.length);
      case "eth_blockNumber":
        return "0x1";
      case "eth_sendRawTransaction": {
        if (told.coin === 0n) throw { code: -32000, message: "insufficient funds for gas * price + value" };
        this.sent.push(Transaction.from(params[0]));
        return this.sent.at(-1)!.hash;
      }
      case "eth_getTransactionReceipt":
        return { transactionHash: params[0], blockHash: ZeroHash, blockNumber: "0x1", logsBloom: "0x", logs: [], from: account.address, to: MARKET, contractAddress: null, transactionIndex: "0x0", type: "0x0", status: "0x1", gasUsed: "0x1", cumulativeGasUsed: "0x1", effectiveGasPrice: "0x1" };
      default:
        throw { code: -32601, message: method };
    }
  }

  #call(to: string, data: string): string {
    const told = this.#told;
    const audits = new Interface(AUDITS_ABI);
    if (to === AUDITS) return audits.encodeFunctionResult("parameters", [{ ...PARAMETERS, auditors: 5 }]);
    if (data === market.encodeFunctionData("parameters")) {
      return market.encodeFunctionResult("parameters", [{ ...PARAMETERS, audits: AUDITS }]);
    }
    if (to === MARKET) {
      if (told.refusal) throw { code: 3, message: "execution reverted", data: id(`${told.refusal}()`).slice(0, 10) };
      return "0x";
    }
    const name = erc20.parseTransaction({ data })!.name;
    const answers: Record<string, unknown> = { balanceOf: told.wallet, allowance: told.allowance, approve: true };
    if (told.separator) Object.assign(answers, { name: domain.name, nonces: 3n, DOMAIN_SEPARATOR: told.separator });
    if (!(name in answers)) throw { code: 3, message: "execution reverted", data: "0x" };
    return erc20.encodeFunctionResult(name, [answers[name]]);
  }
}

/** What was sent, in words. */
function calls(provider: FakeChain): unknown[] {
  return provider.sent.map(({ to, data, value }) => {
    const call = (to === TOKEN ? erc20 : market).parseTransaction({ data })!;
    return [call.name, ...call.args.slice(0, 2), value];
  });
}

const chainOf = (provider: FakeChain): Chain => new Chain(network, account.connect(provider));
const separator = TypedDataEncoder.hashDomain(domain);

test("a token with permits is deposited in one transaction, with a permit for just that amount", async () => {
  const provider = new FakeChain({ separator });
  await chainOf(provider).deposit(TOKEN, 7n);
  assert.deepEqual(calls(provider), [["depositWithPermit", TOKEN, 7n, 0n]]);
  const [, , deadline, v, r, s] = market.parseTransaction({ data: provider.sent[0]!.data })!.args;
  const types = { Permit: ["owner", "spender", "value", "nonce", "deadline"].map((name, at) => ({ name, type: at < 2 ? "address" : "uint256" })) };
  const permit = { owner: account.address, spender: MARKET, value: 7n, nonce: 3n, deadline };
  assert.equal(verifyTypedData(domain, types, permit, { v: Number(v), r, s }), account.address);
  assert.equal(deadline, 0x64n + 600n);
});

test("a token without permits, or with unusual ones, is approved first, unless it is already", async () => {
  for (const told of [{}, { separator: ZeroHash }]) {
    const provider = new FakeChain(told);
    await chainOf(provider).deposit(TOKEN, 7n);
    assert.deepEqual(calls(provider), [["approve", MARKET, 7n, 0n], ["deposit", TOKEN, 7n, 0n]]);
  }
  const approved = new FakeChain({ allowance: 7n });
  await chainOf(approved).deposit(TOKEN, 7n);
  assert.deepEqual(calls(approved), [["deposit", TOKEN, 7n, 0n]]);
});

test("the chain's own coin goes along with the call", async () => {
  const provider = new FakeChain({});
  await chainOf(provider).deposit(ZeroAddress, 7n);
  assert.deepEqual(calls(provider), [["depositNative", 7n]]);
});

test("what would fail is refused with its code before anything is sent", async () => {
  const refused: [Partial<Told>, string][] = [
    [{ wallet: 6n }, "F-009"],
    [{ allowance: 7n, refusal: "TokenTakesFee" }, "F-002"],
    [{ allowance: 7n, refusal: "TokenRebased" }, "F-003"],
    [{ allowance: 7n, refusal: "AmountTooLarge" }, "F-006"],
    [{ allowance: 7n, refusal: "TokenNotContract" }, "X-004"],
    [{ allowance: 7n, coin: 0n }, "F-007"],
  ];
  for (const [told, code] of refused) {
    const provider = new FakeChain(told);
    await assert.rejects(chainOf(provider).deposit(TOKEN, 7n), { code }, Object.values(told).join());
    assert.deepEqual(provider.sent, []);
  }
});

test("the number of auditors is that of the audits that the market names", async () => {
  assert.equal(await chainOf(new FakeChain({})).auditors(), 5);
});
