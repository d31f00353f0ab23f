// What the documents say: links lead somewhere, and every block of JavaScript runs as it is written, each in a tab and a
// module of its own. What stands in a comment behind `console.log(…);` begins with what was printed. A comment
// `<!-- before: … -->` in front of a block is code that runs first, and that readers do not see.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { root } from '../../scripts/toolchain.mjs';
import { inBrowsers } from './harness.mjs';

const DOCUMENTS = [
  ...readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
  'CONTRIBUTING.md',
  'examples/README.md',
];

const BLOCK = /^(?:<!-- before: .*?\n(?<before>.*?)-->\n+)?```js\n(?<code>.*?)^```$/gms;

const text = (document) => readFileSync(join(root, document), 'utf8');

/** The blocks of all documents, with the line on which each begins. */
const blocks = DOCUMENTS.flatMap((document) =>
  [...text(document).matchAll(BLOCK)].map(({ index, groups }) => {
    const line = text(document).slice(0, index).split('\n').length;
    return { where: `${document}:${line}`, ...groups };
  }),
);

/** Addresses in place of the package's names. */
const addressed = (code) =>
  code
    .replaceAll("'framelock'", "'/dist/index.js'")
    .replaceAll("'framelock/testing'", "'/dist/testing/index.js'");

/** Serves block N at /docs/N/code.js, and what goes before it at /docs/N/before.js. */
function intercept(request, response) {
  const [, number, part] = request.url.match(/^\/docs\/(\d+)\/(before|code)\.js$/) ?? [];
  if (number === undefined) return false;
  response.writeHead(200, { 'Content-Type': 'text/javascript' }).end(addressed(blocks[number][part] ?? ''));
  return true;
}

/** Runs in the page: loads both modules, and gives each line that was logged as one would write it in code. */
async function runBlock(number) {
  const shown = (value) => {
    if (typeof value === 'string') return `'${value}'`;
    if (typeof value === 'bigint') return `${value}n`;
    if (Array.isArray(value)) return `[${value.map(shown).join(', ')}]`;
    if (typeof value !== 'object' || value === null) return String(value);
    const fields = Object.entries(value).map(([key, field]) => `${key}: ${shown(field)}`);
    return `{ ${fields.join(', ')} }`;
  };
  await import(`/docs/${number}/before.js`);
  const lines = [];
  console.log = (...values) => lines.push(values.map(shown).join(' '));
  await import(`/docs/${number}/code.js`);
  return lines;
}

for (const document of DOCUMENTS) {
  test(`${document}: what it links to is there`, () => {
    const content = text(document);
    for (const [, link, anchor] of content.matchAll(/\]\(([^)#:]*)(#[^)]*)?\)/g)) {
      const there = join(dirname(document), link);
      if (link) assert.ok(existsSync(join(root, there)), link);
      if (anchor) assert.ok(headings(link ? text(there) : content).includes(anchor), link + anchor);
    }
  });
}

/** The anchors of a document's headings, as GitHub makes them. */
const headings = (content) =>
  [...content.matchAll(/^#+ (.*)$/gm)].map(
    ([, heading]) =>
      `#${heading
        .toLowerCase()
        .replace(/[^\w\- ]/g, '')
        .replaceAll(' ', '-')}`,
  );

inBrowsers(
  (context) => {
    blocks.forEach(({ where, code }, number) => {
      test(where, async () => {
        const tab = await context.browser.newTab();
        const lines = await tab.run(runBlock, number);
        await tab.close();
        const wanted = [...code.matchAll(/console\.log\(.*\);(?: \/\/ (.*))?$/gm)].map(
          ([, comment]) => comment,
        );
        assert.equal(lines.length, wanted.length, 'every console.log is reached once');
        lines.forEach((line, i) => wanted[i] && assert.equal(wanted[i].slice(0, line.length), line));
      });
    });
  },
  { intercept },
);
