// A todo list that all tabs share. No bundler: the package is imported from where npm put it.
import { live, openDatabase } from './node_modules/framelock/dist/index.js';

const list = document.querySelector('#list');
const note = document.querySelector('#note');

const db = await openDatabase('todo');
await db.exec(`CREATE TABLE IF NOT EXISTS todo(
  id INTEGER PRIMARY KEY, what TEXT NOT NULL, done INTEGER NOT NULL DEFAULT 0)`);

// Runs now, and whenever any tab changed the table.
live(db, 'SELECT id, what, done FROM todo ORDER BY done, id', [], (rows) => {
  list.replaceChildren(...rows.map(item));
});

function item({ id, what, done }) {
  const box = Object.assign(document.createElement('input'), { type: 'checkbox', checked: done });
  box.onchange = () => db.exec('UPDATE todo SET done = ? WHERE id = ?', [box.checked, id]).catch(tell);
  const label = document.createElement('label');
  label.append(box, ` ${what}`);
  const entry = document.createElement('li');
  entry.append(label);
  return entry;
}

document.querySelector('#add').onsubmit = async (event) => {
  event.preventDefault();
  const lines = new FormData(event.target).get('what').split('\n');
  const rows = lines.filter((line) => line.trim()).map((what) => ({ what }));
  event.target.reset();
  try {
    // One transaction for all lines. When another tab holds the lock they are queued, and appear when it lets go.
    const { path } = await db.appendFrame('todo', rows);
    note.value = path === 'queued' ? `${rows.length} will be added when the other tab lets go` : '';
  } catch (error) {
    tell(error);
  }
};

// Not before: what is added while the database is being opened would be lost.
document.querySelector('#add button').disabled = false;

function tell(error) {
  note.value = `${error.code}: ${error.message}`;
}
