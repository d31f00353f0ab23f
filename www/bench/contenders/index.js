// The contenders: where each runs and what it can do. `tabs`: several tabs may write to one database at once.
// `durable`: a commit has reached the disk when it returns. `documented`: this is what its documentation shows.
// `only`: the one workload that it is for.
const sqliteWasm = (variant, title, more) => [
  variant,
  {
    title,
    module: './contenders/sqlite-wasm.js',
    variant,
    where: 'worker',
    durable: true,
    documented: true,
    ...more,
  },
];
const waSqlite = (name, variant, title, more) => [
  name,
  {
    title,
    module: './contenders/wa-sqlite.js',
    variant,
    where: 'worker',
    durable: true,
    documented: true,
    ...more,
  },
];

export const CONTENDERS = Object.fromEntries([
  [
    'framelock',
    { title: 'framelock', module: './contenders/framelock.js', where: 'page', durable: true, tabs: true },
  ],
  [
    'framelock-default',
    {
      title: 'framelock, default retry',
      module: './contenders/framelock.js',
      variant: 'default',
      only: 'W5',
      where: 'page',
      durable: true,
      tabs: true,
    },
  ],
  sqliteWasm('sahpool', 'sqlite-wasm opfs-sahpool'),
  sqliteWasm('expert', 'hand-tuned C API on sahpool', { documented: false }),
  sqliteWasm('opfs', 'sqlite-wasm opfs', { isolated: true, tabs: true }),
  sqliteWasm('memory', 'sqlite-wasm memory', { durable: false }),
  waSqlite('wa-pool', 'AccessHandlePoolVFS', 'wa-sqlite AccessHandlePoolVFS'),
  waSqlite('wa-coop', 'OPFSCoopSyncVFS', 'wa-sqlite OPFSCoopSyncVFS', { tabs: true }),
  waSqlite('wa-ahead', 'OPFSWriteAheadVFS', 'wa-sqlite OPFSWriteAheadVFS', { tabs: true }),
  ['duckdb', { title: 'duckdb-wasm (OPFS)', module: './contenders/duckdb.js', where: 'page', durable: true }],
  ['pglite', { title: 'pglite (OPFS)', module: './contenders/pglite.js', where: 'worker', durable: true }],
]);
