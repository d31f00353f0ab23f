// The README's examples, run as they are written: each block is served as a module of its own.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { root } from '../../scripts/toolchain.mjs';
import { inBrowsers } from './harness.mjs';

const readme = readFileSync(join(root, 'README.md'), 'utf8');
const blocks = [...readme.matchAll(/^```js\n(.*?)^```$/gms)].map(([, code]) => code);

/** Serves block N at /readme/N.js, with the package's name made an address. */
function intercept(request, response) {
  const [, number] = request.url.match(/^\/readme\/(\d+)\.js$/) ?? [];
  if (number === undefined) return false;
  const code = blocks[number].replaceAll("'framelock'", "'/dist/index.js'");
  response.writeHead(200, { 'Content-Type': 'text/javascript' }).end(code);
  return true;
}

test('every file that the README and the docs link to is there', () => {
  for (const [, link] of readme.matchAll(/\]\(([^)#:]+)\)/g)) assert.ok(existsSync(join(root, link)), link);
});

inBrowsers(
  (context) => {
    /** Runs a block and gives what it wrote to the console, one list for each call. */
    const runBlock = async (number) => {
      const tab = await context.browser.newTab();
      const lines = await tab.run(async (url) => {
        const lines = [];
        console.log = (...values) => lines.push(values);
        await import(url);
        return lines;
      }, `/readme/${number}.js`);
      await tab.close();
      return lines;
    };

    test('the first example', async () => {
      const [receipt, [rows]] = await runBlock(0);
      assert.deepEqual(receipt, ['direct', 3]);
      assert.deepEqual(rows, [
        { sym: 'B', price: 10.25 },
        { sym: null, price: 11 },
      ]);
    });

    test('the story of the locked database', async () => {
      const [receipt, [committed, rows]] = await runBlock(1);
      assert.deepEqual(receipt, ['queued', false]);
      assert.equal(committed, true);
      assert.deepEqual(rows, [{ sym: 'A', price: 9.5 }]);
    });
  },
  { intercept },
);
