// A long campaign of kills in real browsers, for a release or a night: `node scripts/campaign.mjs --rounds 200
// --browser firefox --seed 1 --scenario "the holder"`. Every round prints one line; the first broken promise ends it
// with the seed that broke it, a non-zero exit code, and `--seed <it> --rounds 1` tries that one again.
import { parseArgs } from 'node:util';
import { launch } from '../tests/contract/harness.mjs';
import { Killing, Ledger, SCENARIOS } from '../tests/contract/kills.mjs';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '20' },
    seed: { type: 'string', default: '1' },
    browser: { type: 'string', default: 'chromium,firefox' },
    scenario: { type: 'string', default: '' },
    /** Rounds in one browser before a fresh one takes its place. */
    fresh: { type: 'string', default: '50' },
  },
});

/** All rounds of one scenario in one browser; gives how many receipts were kept. */
async function campaign(name, scenario) {
  const rounds = Number(values.rounds);
  let receipts = 0;
  for (let done = 0; done < rounds;) {
    const ledger = new Ledger();
    const browser = await launch(name, { intercept: ledger.intercept });
    try {
      const killing = new Killing({ browser, ledger, seed: Number(values.seed) + done });
      for (let i = 0; i < Number(values.fresh) && done < rounds; i++, done++) {
        const seen = await killing.run(scenario);
        receipts += seen.receipts;
        const seed = Number(values.seed) + done;
        console.log(
          `${name} | ${scenario} | seed ${seed} | ${seen.receipts} kept | ${JSON.stringify(seen.paths)}`,
        );
      }
    } finally {
      await browser.close();
    }
  }
  return receipts;
}

const scenarios = Object.keys(SCENARIOS).filter((scenario) => scenario.includes(values.scenario));
if (scenarios.length === 0) throw new Error(`no scenario has ${values.scenario} in its name`);
const start = performance.now();
try {
  for (const name of values.browser.split(',')) {
    for (const scenario of scenarios) {
      const receipts = await campaign(name, scenario);
      console.log(
        `${name} | ${scenario} | ${values.rounds} rounds, ${receipts} receipts, none lost, none twice`,
      );
    }
  }
  console.log(`campaign: ok in ${((performance.now() - start) / 60_000).toFixed(1)} min`);
} catch (error) {
  console.error(`campaign: ${error.message}`);
  process.exit(1);
}
