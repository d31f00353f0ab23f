// `npm run api`: writes docs/api.md from the comments in the TypeScript sources, by way of the declarations that the build
// leaves in dist/. Every public symbol must have a comment; tests/package/api.test.mjs fails when the page is stale.
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import { dist, root } from './toolchain.mjs';

/** Where the page is. */
export const API_PAGE = join(root, 'docs', 'api.md');

const ENTRIES = {
  framelock: 'index.d.ts',
  'framelock/testing': 'testing/index.d.ts',
  'framelock/here': 'here.d.ts',
  'framelock/server': 'server/index.d.ts',
};

/** A comment, if there is one, and the statement that it stands over; each statement begins at the start of a line. */
const STATEMENT =
  /^(?:\/\*\*(?<comment>[^]*?)\*\/\n)?(?<code>(?:export|import|declare|interface|type|class) [^]*?)(?=^(?:\/\*\*|\/\/|export |import |declare |interface |type |class )|$(?![^]))/gm;
const NAME = /^(?:export )?(?:declare )?(?<kind>type|interface|class|function|const) (?<name>\w+)/;

/** What a declaration file exports: name → { kind, comment, code }, in the order of the file. */
function exportsOf(file) {
  const found = new Map();
  const text = readFileSync(file, 'utf8').replace(/^\/\/# sourceMappingURL.*$/gm, '');
  for (const { groups } of text.matchAll(STATEMENT)) {
    const [, list, from] = groups.code.match(/^export (?:type )?(\*|\{[^}]*\}) from '(.*)'/) ?? [];
    const named = groups.code.match(NAME)?.groups;
    if (list) {
      const others = exportsOf(join(dirname(file), from.replace(/js$/, 'd.ts')));
      const wanted = list === '*' ? [...others.keys()] : list.match(/\w+/g).filter((name) => name !== 'type');
      for (const name of wanted) found.set(name, others.get(name));
    } else if (named && groups.code.startsWith('export ')) {
      const comment = groups.comment?.replace(/^\s*\* ?/gm, '').trim();
      // Overloads share a name: the first one's comment, all the code.
      const before = found.get(named.name);
      const code = groups.code.trim();
      if (before) before.code += `\n${code}`;
      else found.set(named.name, { kind: named.kind, comment, code });
    }
  }
  return found;
}

const plain = (text) => text.replace(/\{@link (\w+)\}/g, '`$1`').trim();

/** One symbol's part of the page. */
function section(name, symbol) {
  if (!symbol?.comment) throw new Error(`${name} is public and has no comment`);
  if (symbol.kind === 'function' && !symbol.comment.includes('@example'))
    throw new Error(`${name} has no example`);
  const [text, ...tags] = symbol.comment.split(/^@/m);
  const parts = [`### ${name}`, plain(text)];
  for (const tag of tags) {
    const [, kind, rest] = tag.match(/^(\w+)\s*([^]*)$/);
    if (kind === 'param') parts.push(plain(rest).replace(/^(\w+) /, '`$1`: '));
    else if (kind === 'example') parts.push(`\`\`\`ts\n${rest.trim()}\n\`\`\``);
    else throw new Error(`${name}: what is @${kind}?`);
  }
  const code = symbol.code.replace(/^export (declare )?/gm, '').replace(/^\s*(readonly )?#private;\n/gm, '');
  parts.push(`\`\`\`ts\n${code.replace(/\{@link (\w+)\}/g, '`$1`')}\n\`\`\``);
  return parts.join('\n\n');
}

const KINDS = { Functions: ['function', 'const'], Classes: ['class'], Types: ['interface', 'type'] };

/** The page, as it should be. */
export async function apiPage() {
  const parts = [
    '# API',
    'Written by `npm run api` from the comments in the sources. How the parts work together is in the [README](../README.md) and in the [recipes](recipes.md); [error codes](errors.md) and [types](types.md) have pages of their own.',
  ];
  const told = new Set();
  for (const [entry, file] of Object.entries(ENTRIES)) {
    parts.push(`## ${entry}`);
    const found = [...exportsOf(join(dist, file))].filter(([name]) => !told.has(name));
    parts.push(found.map(([name]) => `[${name}](#${name.toLowerCase()})`).join(' · '));
    for (const kinds of Object.values(KINDS)) {
      for (const [name, symbol] of found.filter(([, symbol]) => kinds.includes(symbol?.kind))) {
        parts.push(section(name, symbol));
        told.add(name);
      }
    }
    const lost = found.filter(([name]) => !told.has(name)).map(([name]) => name);
    if (lost.length) throw new Error(`${entry}: no declaration of ${lost.join(', ')}`);
  }
  return format(`${parts.join('\n\n')}\n`, { ...(await resolveConfig(API_PAGE)), parser: 'markdown' });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  writeFileSync(API_PAGE, await apiPage());
  console.log('wrote docs/api.md');
}
