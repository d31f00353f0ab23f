// What a failure of the database means for the sender. Only what is wrong with the rows themselves is a rejection,
// which ends with the frame put aside for good: everything else, the operator's mistakes included, is worth another
// try, for the rows are still in the browser.
import { Problem, unavailable } from './problem.js';

/** Where in a transaction a statement stands. */
export type Phase = 'books' | 'schema' | 'rows' | 'commit';

type Meaning = 'INVALID_NAME' | 'VALUE_OUT_OF_RANGE' | 'CONSTRAINT' | 'SCHEMA_MISMATCH' | 'RETRY';

/** What an SQLSTATE means in some phases; `routine` is the function of the server's source that reports it. */
interface Rule {
  state: RegExp;
  phases: readonly Phase[];
  routine?: string;
  means: Meaning;
}

/** Deferred constraints and triggers speak when the transaction commits. */
const ROWS: readonly Phase[] = ['rows', 'commit'];

/**
 * The first rule that fits counts, and `RETRY` when none does. In the other phases nothing is the rows' fault: two that
 * make one table at once collide in the catalogue with a class of errors that rows have.
 */
const RULES: readonly Rule[] = [
  // Connection, conflict, resources, locks, time: whoever says so, a trigger too.
  { state: /^(08|25006|40|53|55|57)/, phases: ROWS, means: 'RETRY' },
  // The bytes and the columns do not go together: the table has changed meanwhile.
  { state: /^22P0[34]/, phases: ROWS, means: 'RETRY' },
  { state: /^22/, phases: ROWS, means: 'VALUE_OUT_OF_RANGE' },
  { state: /^(23|44)/, phases: ROWS, means: 'CONSTRAINT' },
  // A row that no page holds, a key that no index does, JSON that is nested too deep.
  { state: /^54/, phases: ['rows'], means: 'VALUE_OUT_OF_RANGE' },
  // Too many columns; those that were dropped count too.
  { state: /^54011/, phases: ['schema'], means: 'SCHEMA_MISMATCH' },
  // A column's name in letters that the database's encoding does not have.
  { state: /^22P05/, phases: ['schema'], means: 'INVALID_NAME' },
  // A trigger says no, with a code of its own or without.
  { state: /^P0001/, phases: ROWS, means: 'CONSTRAINT' },
  { state: /^/, routine: 'exec_stmt_raise', phases: ROWS, means: 'CONSTRAINT' },
  // A policy for rows says no. Every other 42501 is a missing GRANT.
  { state: /^42501/, routine: 'ExecWithCheckOptions', phases: ROWS, means: 'CONSTRAINT' },
];

/** Seconds after which another try is worth it, by class. */
const RETRY_AFTER: Record<string, number> = {
  '08': 1, // connection
  '25': 5, // 25006: a standby that is not yet promoted
  '40': 0.5, // serialization, deadlock
  '53': 10, // out of disk, memory, connections
  '55': 1, // 55P03: a lock
  '57': 1, // the administrator, a restart, a time limit
};

interface DatabaseError {
  code: string;
  column?: string;
  routine?: string;
}

/** The problem that a failure in a phase is. */
export function problemOf(error: unknown, phase: Phase): Problem {
  if (error instanceof Problem) return error;
  const { code, column, routine } = (
    typeof error === 'object' && error ? error : {}
  ) as Partial<DatabaseError>;
  if (typeof code !== 'string') return unavailable(error);
  const rule = RULES.find(
    ({ state, phases, routine: by = routine }) =>
      state.test(code) && phases.includes(phase) && by === routine,
  );
  const reason = rule?.means ?? 'RETRY';
  if (reason === 'RETRY') return unavailable(error, RETRY_AFTER[code.slice(0, 2)] ?? 5);
  return new Problem('REJECTED', { reason, ...(column && { column }) }, undefined, { cause: error });
}
