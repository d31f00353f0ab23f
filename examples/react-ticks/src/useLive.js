import { live } from 'framelock';
import { useEffect, useState } from 'react';

/** The rows of a query, always up to date; undefined before the first run. */
export function useLive(db, sql, params = []) {
  const [rows, setRows] = useState();
  const [error, setError] = useState();
  // An array is a new one at every call: its values decide.
  useEffect(() => live(db, sql, params, setRows, { onError: setError }), [db, sql, ...params]);
  return { rows, error };
}
