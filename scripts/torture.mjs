// `npm run torture`: forwarding against a real PostgreSQL that is being hurt, in full; the counts are docs/forwarding-server.md's.
// Needs a build. `-- 3` does each three times.
import { failover, killedBackends } from '../tests/server/torture.mjs';

const RUNS = [
  [
    '8 writers x 60 frames x 1,000 rows, a backend killed every 15 ms',
    killedBackends,
    { writers: 8, items: 60, rows: 1000 },
  ],
  [
    '900 frames x 1,000 rows, primary SIGKILLed, standby promoted',
    failover,
    { writers: 6, items: 150, rows: 1000 },
  ],
];

const times = Number(process.argv[2] ?? 1);
for (const [name, run, options] of RUNS) {
  for (let i = 0; i < times; i++) {
    const { rows, of, seconds, counts, causes, ...rest } = await run(options);
    console.log(
      `${name}: ${rows.toLocaleString('en')} of ${of.toLocaleString('en')} rows in ${seconds.toFixed(1)} s`,
    );
    console.log('  ', JSON.stringify({ ...rest, ...counts }));
    console.log('   behind the 503s:', JSON.stringify(causes));
  }
}
