// The SDK types a node's answers a second time. Here they are compared with the document that the
// node's own types generate, node/daemon/openapi.json.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import ts from "typescript";

import { JOB_STATES, STATUSES } from "../src/index.js";

interface Schema {
  required?: string[];
  properties?: Record<string, Schema>;
  enum?: string[];
  oneOf?: Schema[];
  items?: Schema;
  $ref?: string;
}

const text = readFileSync(new URL("../../src/node.ts", import.meta.url), "utf8");
const document = JSON.parse(readFileSync(new URL("../../../../node/daemon/openapi.json", import.meta.url), "utf8"));
const schemas: Record<string, Schema> = document.components.schemas;
const source = ts.createSourceFile("node.ts", text, ts.ScriptTarget.Latest);

/** The schema that a property leads to, through references, lists and null. */
function resolved(schema: Schema): Schema {
  const next = schema.$ref ? schemas[schema.$ref.split("/").pop()!] : (schema.items ?? schema.oneOf?.find((option) => option.$ref));
  return next ? resolved(next) : schema;
}

/** Every member of a type stands in the schema, and is certain to be there unless it is optional. */
function compare(path: string, members: ts.NodeArray<ts.TypeElement>, schema: Schema): number {
  let compared = 0;
  for (const member of members) {
    assert.ok(ts.isPropertySignature(member) && member.type);
    const name = member.name.getText(source);
    const property = schema.properties?.[name];
    assert.ok(property, `${path}.${name} is not in the document`);
    assert.ok(member.questionToken || schema.required?.includes(name), `${path}.${name} may be missing`);
    const type = ts.isArrayTypeNode(member.type) ? member.type.elementType : member.type;
    if (ts.isTypeLiteralNode(type)) compared += compare(`${path}.${name}`, type.members, resolved(property));
    compared += 1;
  }
  return compared;
}

test("every answer has the fields that the node's document promises", () => {
  const names: Record<string, string> = { JobView: "Job", Problem: "ErrorBody" };
  let compared = 0;
  for (const statement of source.statements) {
    if (!ts.isInterfaceDeclaration(statement)) continue;
    const schema = schemas[names[statement.name.text] ?? statement.name.text];
    assert.ok(schema, statement.name.text);
    compared += compare(statement.name.text, statement.members, schema);
  }
  assert.ok(compared > 70, `${compared}`);
});

test("states, statuses and kinds of events are the document's", () => {
  const literals = (name: string): string[] => {
    const declared = source.statements.find((statement) => ts.isTypeAliasDeclaration(statement) && statement.name.text === name);
    return [...declared!.getText(source).replace(/^.*?=/s, "").matchAll(name === "DealState" ? /"(\w+)"/g : /kind: ("\w+"(?: \| "\w+")*)/g)].flatMap(
      ([, found]) => found!.replaceAll('"', "").split(" | "),
    );
  };
  assert.deepEqual(Object.keys(JOB_STATES).sort(), schemas["JobState"]!.enum!.toSorted());
  assert.deepEqual([...STATUSES], schemas["Status"]!.enum);
  assert.deepEqual(literals("DealState"), schemas["DealState"]!.enum);
  const kinds = schemas["JobEventKind"]!.oneOf!.flatMap((option) => option.properties!["kind"]!.enum!);
  assert.deepEqual(literals("JobEventKind").sort(), kinds.sort());
});

test("every address that is asked is the document's", () => {
  const addresses = new Set(Object.keys(document.paths).map((path) => path.replace(/\{\w+\}/g, "*")));
  const asked = [...text.matchAll(/["`](\/v1\/[^"`?]*)/g)].map(([, path]) => path!.replace(/\$\{query\}$/, "").replace(/\$\{\w+\}/g, "*"));
  assert.ok(asked.length >= 15);
  for (const path of asked) assert.ok(addresses.has(path), path);
});
