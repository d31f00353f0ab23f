import { live } from 'framelock';
import { useEffect, useState } from 'react';

/** The rows of a query, always up to date, undefined before the first run; and the error of the last run, if it failed. */
export function useLive(db, sql, params = []) {
  const [state, setState] = useState({});
  useEffect(() => {
    const onError = (error) => setState(({ rows }) => ({ rows, error }));
    return live(db, sql, params, (rows) => setState({ rows }), { onError });
    // An array is a new one at every call: its values decide.
  }, [db, sql, ...params]);
  return state;
}
