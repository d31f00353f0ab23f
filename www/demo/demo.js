// The page: opens the database, wires the controls, and shows what the handle says. The work is elsewhere: frames.js
// cuts rows into frames, append.js sends them, receipts.js and histogram.js draw, tabs.js knows the other tabs.
import { openDatabase } from '/dist/index.js';
import { appendFrames } from './append.js';
import { coalesce } from './coalesce.js';
import { fileSource, flightsSource, framesOf, sourceOf, tableName } from './frames.js';
import { describe, drawHistogram, quoted, readHistogram } from './histogram.js';
import { drawLog, drawSummary, outcomeOf, outcomeOfError } from './receipts.js';
import { worksOffline } from './offline.js';
import { joinTabs } from './tabs.js';
import { bytes as byteText, count, milliseconds } from './text.js';

const HOLD_MS = 5000;
/** How often the lock's holder is looked up: other tabs take it without an event here. */
const STATUS_MS = 400;
/** Every drawing reads the table under a shared lease, which writers wait for: seldom while many commits come. */
const chartRestMs = (tookMs) => Math.min(2000, Math.max(250, tookMs * 4));

const ui = Object.fromEntries([...document.querySelectorAll('[id]')].map((found) => [found.id, found]));

/**
 * What scripts may look at, and visitors in the console. `job.state` is 'idle', 'running', 'done', 'stopped' or 'failed'.
 */
const demo = (globalThis.demo = { db: undefined, outcomes: [], job: { state: 'idle', rows: 0, total: 0 } });
let chosenFile;
let shownTable = 'flights';
let histogram = { rows: 0, bins: [] };
let stopper;
let jobs = Promise.resolve();

// ---- what the page says -------------------------------------------------------------------------------------------

/** Says it once: the live region is read aloud whenever its text is set. */
function say(text) {
  if (ui.message.textContent !== text) ui.message.textContent = text;
}

function showError(error) {
  ui['alert-code'].textContent = error.code ?? error.name;
  const { column, message } = error;
  ui['alert-text'].textContent =
    column === undefined || message.includes(column) ? message : `${message} (column ${column})`;
  ui.alert.hidden = false;
}

const drawReceipts = coalesce(
  async () => {
    drawSummary(ui.summary, demo.outcomes);
    drawLog(ui.log, demo.outcomes);
    ui['log-empty'].hidden = demo.outcomes.length > 0;
  },
  () => 100,
);

function note(outcome) {
  demo.outcomes.push(outcome);
  drawReceipts();
  return outcome;
}

function drawChart() {
  const { note: words, label } = describe(histogram, shownTable);
  ui['chart-note'].textContent = words;
  ui.chart.setAttribute('aria-label', label);
  drawHistogram(ui.chart, histogram);
}

const refresh = coalesce(async () => {
  if (document.visibilityState === 'hidden') return;
  try {
    histogram = await readHistogram(demo.db, shownTable, histogram);
  } catch (error) {
    // Another tab kept the lock for the whole time that a read waits: what is shown stays until the next try.
    if (error.code === 'BUSY') setTimeout(refresh, 1000);
    else showError(error);
    return;
  }
  ui.rows.textContent = count(histogram.rows);
  ui['fact-table'].textContent = shownTable;
  ui['chart-title'].textContent =
    histogram.column && histogram.column !== 'delay' ? histogram.column : 'Delays';
  ui['chart-sql'].textContent = histogram.sql ?? '';
  ui['chart-ms'].textContent = histogram.ms === undefined ? '' : milliseconds(histogram.ms);
  drawChart();
}, chartRestMs);

const HOLDERS = { 'this-tab': 'this tab', 'other-tab': 'another tab' };

async function showStatus() {
  const { holder, lock, queued, rejected, bytes, versions } = await demo.db.status();
  ui.lock.textContent = HOLDERS[holder] ?? (lock === 'waiting' ? 'waiting' : 'free');
  ui.lock.dataset.holder = holder ?? '';
  ui.bytes.textContent = byteText(bytes);
  ui.queue.textContent = rejected ? `${count(queued)}, ${count(rejected)} rejected` : count(queued);
  ui.versions.textContent =
    `framelock ${versions.framelock}, SQLite ${versions.sqlite}, Arrow ${versions.arrow}. ` +
    'No server keeps your rows: they never leave this browser.';
}

async function showTabs(tabs) {
  const open = await tabs.open();
  ui['tab-name'].textContent = `Tab ${tabs.number} · ${open.length} open`;
  document.title = `Tab ${tabs.number} · framelock demo`;
  ui['append-all'].textContent = open.length > 1 ? `Append in all ${open.length} tabs` : 'Append in all tabs';
  ui['append-all'].disabled = open.length < 2;
}

// ---- appending ----------------------------------------------------------------------------------------------------

/** The form as it stands; the bytes of a chosen file go along, since other tabs do not have it. */
async function requestOf() {
  const request = {
    table: ui.table.value,
    frameRows: Number(ui['frame-rows'].value),
    fallback: ui.fallback.value,
  };
  if (!ui['source-file'].checked) return request;
  if (!chosenFile) throw new Error('choose an Arrow file first');
  return { ...request, file: { name: chosenFile.name, bytes: chosenFile.bytes } };
}

function setRunning(running) {
  ui.stop.hidden = !running;
  ui['append-here'].disabled = running;
}

async function runJob(request, part) {
  const source = request.file ? sourceOf(request.file.name, request.file.bytes) : await flightsSource();
  const frames = framesOf(source, request.frameRows, part);
  const total = frames.reduce((sum, { rows }) => sum + (rows ?? 0), 0);
  const job = (demo.job = { state: 'running', rows: 0, total, ms: 0 });
  shownTable = request.table;
  stopper = new AbortController();
  setRunning(true);
  ui.progress.max = frames.length || 1;
  ui.progress.value = 0;
  const appending = `Appending ${source.table ? `${count(total)} rows` : source.name} …`;
  say(appending);
  const start = performance.now();
  try {
    await appendFrames(demo.db, request.table, frames, {
      fallback: request.fallback,
      signal: stopper.signal,
      onReceipt: noteReceipt,
      onError(error) {
        note(outcomeOfError(error));
        say(
          `${error.code} after ${error.attempts?.length ?? 0} attempts, nothing written. Sending it again …`,
        );
      },
      onProgress: ({ frames: done, rows }) => {
        job.rows = rows;
        say(appending);
        ui.progress.value = done;
        ui.progress.textContent = `${done} of ${frames.length} frames`;
      },
    });
    job.state = 'done';
  } catch (error) {
    job.state = stopper.signal.aborted ? 'stopped' : 'failed';
    if (job.state === 'failed') {
      note(outcomeOfError(error));
      showError(error);
    }
  } finally {
    job.ms = performance.now() - start;
    setRunning(false);
    refresh();
  }
  const rows = `${count(job.rows)} rows`;
  const rate = count(Math.round((job.rows / job.ms) * 1000));
  if (job.state === 'done') say(`${rows} in ${milliseconds(job.ms)}, ${rate} rows/s.`);
  else if (job.state === 'stopped') say(`Stopped after ${rows}.`);
  else say(`Failed with ${ui['alert-code'].textContent} after ${rows}.`);
}

/** Notes a receipt, and for a queued frame also when it was applied. */
function noteReceipt(receipt) {
  const outcome = note(outcomeOf(receipt));
  if (receipt.committed) return;
  const start = performance.now();
  demo.db.whenCommitted(receipt.frameId).then(
    () => {
      outcome.committed = true;
      outcome.committedMs = performance.now() - start;
      drawReceipts();
    },
    (error) => {
      note(outcomeOfError(error));
      showError(error);
    },
  );
}

/** Appends after the job that runs already; one job at a time. */
function append(request, part) {
  demo.job = { ...demo.job, state: 'running' };
  jobs = jobs
    .then(() => runJob(request, part))
    .catch((error) => {
      demo.job.state = 'failed';
      setRunning(false);
      showError(error);
    });
}

function partOf(numbers, number) {
  const index = numbers.indexOf(number);
  return index < 0 ? undefined : { index, of: numbers.length };
}

// ---- controls -----------------------------------------------------------------------------------------------------

/** Runs `act` when a button is clicked, with the button disabled meanwhile; errors are shown. */
function onClick(button, act) {
  button.addEventListener('click', async () => {
    button.disabled = true;
    try {
      await act();
    } catch (error) {
      showError(error);
    } finally {
      button.disabled = false;
    }
  });
}

async function holdLock() {
  const label = ui.hold.textContent;
  say('Waiting for the lock …');
  try {
    await demo.db.transaction(async () => {
      for (let left = HOLD_MS / 1000; left > 0; left--) {
        ui.hold.textContent = `Holding: ${left} s`;
        say('This tab holds the write lock. Append now, here or in another tab, and look at the receipts.');
        await new Promise((resolve) => setTimeout(resolve, 1000));
      }
    });
    say('The lock is free again.');
  } finally {
    ui.hold.textContent = label;
  }
}

async function download() {
  const file = await demo.db.exportBlob();
  const link = document.createElement('a');
  link.href = URL.createObjectURL(file);
  link.download = 'flights.sqlite3';
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  say(`Saved flights.sqlite3, ${byteText(file.size)}: any SQLite opens it.`);
}

async function clearTable() {
  const table = ui.table.value;
  const [exists] = await demo.db.query('SELECT 1 FROM sqlite_schema WHERE name = ?', [table]);
  const { changes } = exists ? await demo.db.exec(`DELETE FROM ${quoted(table)}`) : { changes: 0 };
  shownTable = table;
  say(`${count(changes)} rows deleted from ${table}.`);
  refresh();
}

async function chooseFile(file) {
  chosenFile = await fileSource(file);
  const rows = chosenFile.table ? `${count(chosenFile.rows)} rows` : `${byteText(file.size)}, in one frame`;
  ui['file-note'].textContent = `${file.name}, ${rows}`;
  ui['source-file'].checked = true;
  ui.table.value = tableName(file.name);
}

function wireFiles() {
  const take = (file) => chooseFile(file).catch(showError);
  ui.file.addEventListener('change', () => ui.file.files[0] && take(ui.file.files[0]));
  const carriesFile = (event) => event.dataTransfer?.types.includes('Files');
  addEventListener('dragover', (event) => {
    if (!carriesFile(event)) return;
    event.preventDefault();
    ui.drop.hidden = false;
  });
  addEventListener('dragleave', (event) => event.relatedTarget === null && (ui.drop.hidden = true));
  addEventListener('drop', (event) => {
    if (!carriesFile(event)) return;
    event.preventDefault();
    ui.drop.hidden = true;
    take(event.dataTransfer.files[0]);
  });
}

function wireControls(tabs) {
  ui['append-form'].addEventListener('submit', async (event) => {
    event.preventDefault();
    requestOf().then(append, showError);
  });
  ui['append-all'].addEventListener('click', async () => {
    try {
      const request = await requestOf();
      const numbers = await tabs.open();
      tabs.ask({ append: request, numbers });
      append(request, partOf(numbers, tabs.number));
    } catch (error) {
      showError(error);
    }
  });
  tabs.onAsked(({ append: request, numbers }) => {
    const part = partOf(numbers, tabs.number);
    if (part) append(request, part);
  });
  ui.stop.addEventListener('click', () => stopper?.abort());
  ui['alert-close'].addEventListener('click', () => (ui.alert.hidden = true));
  ui.forget.addEventListener('click', () => {
    demo.outcomes.length = 0;
    drawReceipts();
  });
  onClick(ui.hold, holdLock);
  onClick(ui.download, download);
  onClick(ui.clear, clearTable);
  wireFiles();
}

// ---- start --------------------------------------------------------------------------------------------------------

async function start() {
  drawReceipts();
  drawChart();
  new ResizeObserver(drawChart).observe(ui.chart);
  const tabs = await joinTabs();
  await showTabs(tabs);
  const db = (demo.db = await openDatabase('flights'));
  db.on('commit', ({ tables }) => (tables.length === 0 || tables.includes(shownTable)) && refresh());
  db.on('status', () => look());
  db.on('queue', () => look());
  document.addEventListener('visibilitychange', () => refresh());
  const look = coalesce(
    () => showStatus().catch(showError),
    () => STATUS_MS / 4,
  );
  setInterval(() => {
    look();
    showTabs(tabs).catch(showError);
  }, STATUS_MS);
  wireControls(tabs);
  flightsSource()
    .then(({ rows }) => (ui['flights-note'].textContent = `${count(rows)} real ones, flights-200k.arrow`))
    .catch(showError);
  worksOffline(() => (ui.offline.hidden = false));
  say('Ready.');
  document.documentElement.dataset.ready = '';
  refresh();
}

start().catch((error) => {
  showError(error);
  say('The database could not be opened.');
});
