// The public types as one text: every declaration that an entry exports, without comments, in the order of the names.
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const NAME = /^export (?:declare )?(?:type|interface|class|function|const) (\w+)/;

/** The statements of a declaration file as tsc writes them: each begins at the start of a line. */
function statements(file) {
  const text = readFileSync(file, 'utf8')
    .replace(/\/\*[^]*?\*\//g, '')
    .replace(/^\s*\/\/.*$/gm, '')
    .replace(/^\s*\n/gm, '');
  return text.split(/^(?=export |import |declare |interface |type |class )/m).map((part) => part.trimEnd());
}

/** What a file exports, by name. */
function exportsOf(file) {
  const found = new Map();
  for (const statement of statements(file)) {
    const [, list, from] = statement.match(/^export (?:type )?(\*|\{[^}]*\}) from '(.*)'/) ?? [];
    const [, name] = statement.match(NAME) ?? [];
    if (list) {
      const others = exportsOf(join(dirname(file), from.replace(/js$/, 'd.ts')));
      const wanted = list === '*' ? [...others.keys()] : list.match(/\w+/g);
      for (const name of wanted) found.set(name, others.get(name) ?? `export ${name}: not found`);
    } else if (name) {
      found.set(name, statement);
    }
  }
  return found;
}

/** The report of some entries: `{ name: declaration file }`. */
export function apiReport(entries) {
  const parts = Object.entries(entries).map(([entry, file]) => {
    const found = exportsOf(file);
    const all = [...found.keys()].sort().map((name) => found.get(name));
    return [`// ${entry}`, ...all].join('\n\n');
  });
  return parts.join('\n\n') + '\n';
}
