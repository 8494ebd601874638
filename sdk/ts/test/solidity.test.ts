// The SDK states structures and functions of the contracts a second time. Here they are compared with
// the first: contracts/src/types/Orders.sol and contracts/artifacts.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { EventFragment, Interface } from "ethers";
import type { Fragment } from "ethers";

import { AUDITS_ABI, MARKET_ABI, typesOf } from "../src/index.js";
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

for (const [contract, abi] of [["Market", MARKET_ABI], ["Audits", AUDITS_ABI]] as const) {
  test(`every function, event and error is that of ${contract}`, () => {
    const whole = new Interface(JSON.parse(readFileSync(new URL(`artifacts/${contract}.json`, contracts), "utf8")).abi);
    const form = (fragment: Fragment): string => {
      if (!EventFragment.isFragment(fragment)) return fragment.format("sighash");
      return `${fragment.format("sighash")} ${fragment.inputs.map((input) => Boolean(input.indexed))}`;
    };
    const known = new Set(whole.fragments.filter((fragment) => fragment.type !== "constructor").map(form));
    // Names of a structure's fields as well: values are read by them.
    const outputs = (of: Interface, name: string): string[] =>
      of.getFunction(name)!.outputs.map((output) => `${output.format("sighash")} ${output.components?.map((field) => field.name)}`);
    const used = new Interface(abi);
    assert.equal(used.fragments.length, abi.length);
    for (const fragment of used.fragments) assert.ok(known.has(form(fragment)), fragment.format("full"));
    used.forEachFunction((fragment) => {
      assert.deepEqual(outputs(used, fragment.name), outputs(whole, fragment.name), fragment.name);
      assert.equal(fragment.stateMutability, whole.getFunction(fragment.name)!.stateMutability, fragment.name);
    });
  });
}
