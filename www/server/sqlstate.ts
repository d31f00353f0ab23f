// What a failure of the database means for the sender. Only what is wrong with the rows themselves is a rejection,
// which ends with the frame put aside for good: everything else, the operator's mistakes included, is worth another
// try, for the rows are still in the browser.
import { Problem, unavailable } from './problem.js';

/** Where in a transaction a statement stands. */
export type Phase = 'schema' | 'rows' | 'books';

interface DatabaseError {
  code: string;
  column?: string;
  routine?: string;
}

/** Classes of SQLSTATE that say: the same again may work. So does everything that is not listed below. */
const RETRY_AFTER: Record<string, number> = {
  '08': 1, // connection
  '25': 5, // 25006: a standby that is not yet promoted
  '40': 0.5, // serialization, deadlock
  '53': 10, // out of disk, memory, connections
  '55': 1, // 55P03: a lock
  '57': 1, // the administrator, a restart, a time limit
};

/** The problem that a failure in a phase is. */
export function problemOf(error: unknown, phase: Phase): Problem {
  if (error instanceof Problem) return error;
  const { code, column, routine } = (
    typeof error === 'object' && error ? error : {}
  ) as Partial<DatabaseError>;
  if (typeof code !== 'string') return unavailable(error);
  // Two that make one table at once collide in the catalogue with a class of errors that rows have.
  const reason = phase === 'rows' ? rejection(code, routine) : null;
  if (reason === null) return unavailable(error, RETRY_AFTER[code.slice(0, 2)] ?? 5);
  return new Problem('REJECTED', { reason, ...(column && { column }) }, undefined, { cause: error });
}

function rejection(code: string, routine: string | undefined): string | null {
  switch (code.slice(0, 2)) {
    case '22':
      // 22P03, 22P04: the bytes and the columns do not go together; the table has changed meanwhile.
      return code === '22P03' || code === '22P04' ? null : 'VALUE_OUT_OF_RANGE';
    case '23':
    case '44':
      return 'CONSTRAINT';
    case 'P0':
      // A trigger raised it.
      return code === 'P0001' ? 'CONSTRAINT' : null;
    case '42':
      // A policy for rows says no. Every other 42501 is a missing GRANT.
      return code === '42501' && routine === 'ExecWithCheckOptions' ? 'CONSTRAINT' : null;
    default:
      return null;
  }
}
