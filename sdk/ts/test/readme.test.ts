import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");

test("the README shows the example that the end-to-end test runs", () => {
  assert.equal(/```ts\n([^]*?)```/.exec(read("README.md"))?.[1], read("examples/first-job.ts"));
});

test("the core imports nothing of Node.js", () => {
  const seen = new Set<string>();
  const follow = (module: string): void => {
    if (seen.has(module)) return;
    seen.add(module);
    for (const [, from] of read(`src/${module}.ts`).matchAll(/from "([^"]+)"/g)) {
      assert.ok(!from!.startsWith("node:"), `${module} imports ${from}`);
      if (from!.startsWith("./")) follow(from!.slice(2).replace(/\.js$/, ""));
    }
  };
  follow("index");
  assert.ok(seen.has("client") && !seen.has("folder"));
});
