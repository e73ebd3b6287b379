// The app's types from the server's own description of its API: `src/lib/api/schema.ts`. Run it after
// a change of wire types; `--check` says whether the committed file is what the binary (TERANG, or the
// debug build) describes.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const binary = process.env.TERANG ?? fileURLToPath(new URL('../../target/debug/terang', import.meta.url));
const target = new URL('../src/lib/api/schema.ts', import.meta.url);
const document = JSON.parse(execFileSync(binary, ['openapi'], { encoding: 'utf8', maxBuffer: 64 << 20 }));
const schemas = document.components.schemas;
const nameOf = (reference) => reference.replace('#/components/schemas/', '');

/** The schemas that a part of the document leads to. */
function reached(part, found = new Set()) {
  if (Array.isArray(part)) for (const item of part) reached(item, found);
  else if (typeof part === 'object' && part !== null) {
    if (typeof part.$ref === 'string') {
      const name = nameOf(part.$ref);
      if (!found.has(name)) {
        found.add(name);
        reached(schemas[name], found);
      }
    }
    for (const value of Object.values(part)) reached(value, found);
  }
  return found;
}

const sent = new Set();
const answered = new Set();
for (const [path, methods] of Object.entries(document.paths)) {
  if (!path.startsWith('/api/')) continue;
  for (const { requestBody, responses } of Object.values(methods)) {
    reached(requestBody, sent);
    reached(responses, answered);
  }
}

function written(schema, always, depth) {
  if (schema.$ref) return nameOf(schema.$ref);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value).replace(/^"(.*)"$/, "'$1'")).join(' | ');
  const many = schema.oneOf ?? schema.anyOf;
  if (many) return many.map((one) => written(one, always, depth)).join(' | ');
  if (schema.allOf) return schema.allOf.map((one) => written(one, always, depth)).join(' & ');
  if (Array.isArray(schema.type)) return schema.type.map((type) => written({ ...schema, type }, always, depth)).join(' | ');
  switch (schema.type) {
    case 'string':
      return 'string';
    case 'integer':
    case 'number':
      return 'number';
    case 'boolean':
      return 'boolean';
    case 'null':
      return 'null';
    case 'array': {
      const items = written(schema.items ?? {}, always, depth);
      return /[|&]/.test(items) ? `(${items})[]` : `${items}[]`;
    }
    case 'object': {
      if (schema.properties) return fields(schema, always, depth);
      const values = schema.additionalProperties;
      return `Record<string, ${typeof values === 'object' ? written(values, always, depth) : 'unknown'}>`;
    }
    default:
      return 'unknown';
  }
}

const isNullable = (schema) =>
  (Array.isArray(schema.type) && schema.type.includes('null')) || (schema.oneOf ?? schema.anyOf ?? []).some((one) => one.type === 'null');

function comment(text, indent) {
  if (!text) return '';
  return `${indent}/** ${text.replace(/\s+/g, ' ').replaceAll('*/', '* /').trim()} */\n`;
}

/** `always`: the server writes each field, with null where there is nothing; a client may leave it out. */
function fields(schema, always, depth = 0) {
  const indent = '  '.repeat(depth + 1);
  const required = new Set(schema.required ?? []);
  const lines = Object.entries(schema.properties).map(([name, value]) => {
    const there = required.has(name) || (always && isNullable(value));
    return `${comment(value.description, indent)}${indent}${name}${there ? '' : '?'}: ${written(value, always, depth + 1)};\n`;
  });
  return `{\n${lines.join('')}${'  '.repeat(depth)}}`;
}

const names = [...new Set([...sent, ...answered])].sort();
const types = names.map((name) => {
  const always = answered.has(name) && !sent.has(name);
  return `${comment(schemas[name].description, '')}export type ${name} = ${written(schemas[name], always, 0)};\n`;
});
const text = `/* Written by scripts/types.mjs from the server's description of its API: change the server's wire types, and run \`npm run types\`. */\n\n${types.join('\n')}`;

if (process.argv.includes('--check')) {
  if (readFileSync(target, 'utf8') === text) console.log(`types: ${names.length} are those that the server describes`);
  else {
    console.error("src/lib/api/schema.ts differs from what the server describes: run 'npm run types' and commit it");
    process.exit(1);
  }
} else {
  writeFileSync(target, text);
  console.log(`types: ${names.length} written`);
}
