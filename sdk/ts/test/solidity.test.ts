// The SDK states structures and functions of the contracts a second time. Here they are compared with
// the first: contracts/src/types/Orders.sol and contracts/artifacts/Market.json.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { EventFragment, Interface } from "ethers";
import type { Fragment } from "ethers";

import { MARKET_ABI, typesOf } from "../src/index.js";
import type { Structures } from "../src/index.js";

const contracts = new URL("../../../../contracts/", import.meta.url);

test("every structure has the fields of Orders.sol, in its order", () => {
  const source = readFileSync(new URL("src/types/Orders.sol", contracts), "utf8").replace(/\/\/.*$/gm, "");
  const structures = new Map(
    [...source.matchAll(/struct (\w+) \{([^}]*)\}/g)].map(([, name, body]) => [
      name!,
      [...body!.matchAll(/(\w+) (\w+);/g)].map(([, type, field]) => ({ type: type!, name: field! })),
    ]),
  );
  const names: (keyof Structures)[] = ["JobSpec", "Resources", "Bid", "Offer", "Deal", "Accept", "Receipt", "ClaimRelay"];
  for (const name of names) assert.deepEqual(typesOf(name)[name], structures.get(name), name);
  // A claim is only hashed, by `claimHash`.
  assert.deepEqual([...structures.keys()].filter((name) => !names.includes(name as keyof Structures)), ["Claim"]);
});

test("every function, event and error is the market's", () => {
  const market = new Interface(JSON.parse(readFileSync(new URL("artifacts/Market.json", contracts), "utf8")).abi);
  const form = (fragment: Fragment): string => {
    if (!EventFragment.isFragment(fragment)) return fragment.format("sighash");
    return `${fragment.format("sighash")} ${fragment.inputs.map((input) => Boolean(input.indexed))}`;
  };
  const known = new Set(market.fragments.filter((fragment) => fragment.type !== "constructor").map(form));
  const outputs = (of: Interface, name: string): string[] => of.getFunction(name)!.outputs.map((output) => output.format("sighash"));
  const used = new Interface(MARKET_ABI);
  assert.equal(used.fragments.length, MARKET_ABI.length);
  for (const fragment of used.fragments) assert.ok(known.has(form(fragment)), fragment.format("full"));
  used.forEachFunction((fragment) => {
    assert.deepEqual(outputs(used, fragment.name), outputs(market, fragment.name), fragment.name);
    assert.equal(fragment.stateMutability, market.getFunction(fragment.name)!.stateMutability, fragment.name);
  });
});
