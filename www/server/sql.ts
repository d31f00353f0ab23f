// The statements of the PostgreSQL engines, and what they ask the catalogue.

/** A name as a quoted identifier. */
export const quote = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** The two tables in which the server keeps its books, in a schema of their own or the search path's first. */
export interface Books {
  streams: string;
  frames: string;
}

export function booksIn(namespace: string | undefined): Books {
  const within = namespace === undefined ? '' : `${quote(namespace)}.`;
  return { streams: `${within}framelock_streams`, frames: `${within}framelock_frames` };
}

/** Requests of a stream whose digests are kept, at least: a repeat of one with other content is noticed. */
export const LOGGED_REQUESTS = 1024;
/** After so many requests the log is cut. */
export const TRIM_EVERY = 128;

/**
 * The statements that make the books. `postgres()` and `pglite()` run them when the tables are not there; a role that
 * may not create tables needs them run by one that may.
 *
 * @example
 * await admin.query(booksSql());
 */
export function booksSql(namespace?: string): string {
  return `${booksStatements(namespace).join(';\n')};`;
}

/** The same one by one: a name may have a semicolon. */
export function booksStatements(namespace: string | undefined): string[] {
  const { streams, frames } = booksIn(namespace);
  // A stream's row is written by every request: room on its page spares the index.
  return [
    `CREATE TABLE IF NOT EXISTS ${streams} (
  stream uuid PRIMARY KEY,
  tenant text NOT NULL,
  last_seq bigint NOT NULL DEFAULT 0,
  last_digest text,
  requests bigint NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50)`,
    `CREATE TABLE IF NOT EXISTS ${frames} (
  stream uuid NOT NULL,
  to_seq bigint NOT NULL,
  from_seq bigint NOT NULL,
  table_name text,
  rows bigint NOT NULL,
  digest text NOT NULL,
  skipped text,
  applied_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (stream, to_seq)
)`,
  ];
}

/** A number for the advisory lock under which tables are made and changed. */
export const SCHEMA_LOCK = 0x6672616d; // "fram"

/** What the domain `t` is over, which may be a domain: nobody else pays for the look. */
const UNDER = (what: 'oid' | 'modifier'): string => `(
        WITH RECURSIVE under (level, oid, modifier) AS (
          SELECT 1, t.typbasetype, t.typtypmod
          UNION ALL
          SELECT level + 1, n.typbasetype, n.typtypmod
          FROM under JOIN pg_catalog.pg_type n ON n.oid = under.oid WHERE n.typtype = 'd'
        )
        SELECT ${what} FROM under ORDER BY level DESC LIMIT 1
      )`;

/** The bits of a trigger through which COPY into a view goes; into one without it only INSERT does. */
const INSTEAD_OF_INSERT = 68;

/**
 * A table as src/copy/plan.rs reads it, as JSON text; null when there is none. `parameter` is the number of the
 * parameter with the quoted name.
 */
export const describe = (parameter: number): string => `(
  SELECT json_build_object(
    'noCopy', row_security_active(c.oid) OR c.relkind = 'v' AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_trigger g WHERE g.tgrelid = c.oid AND g.tgtype & ${INSTEAD_OF_INSERT} = ${INSTEAD_OF_INSERT}
    ),
    'columns', (
      SELECT coalesce(json_agg(json_build_object(
        'name', a.attname,
        'type', CASE WHEN i.typtype = 'e' THEN 'enum' ELSE i.typname END,
        'oid', i.oid::bigint,
        'modifier', CASE WHEN t.typtype = 'd' THEN ${UNDER('modifier')} ELSE a.atttypmod END,
        'array', i.oid <> b.oid,
        'sql', format_type(a.atttypid, a.atttypmod),
        'generated', a.attgenerated <> ''
      ) ORDER BY a.attnum), '[]')
      FROM pg_catalog.pg_attribute a
      JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
      JOIN pg_catalog.pg_type b ON b.oid = CASE WHEN t.typtype = 'd' THEN ${UNDER('oid')} ELSE t.oid END
      JOIN pg_catalog.pg_type i ON i.oid = CASE WHEN b.typcategory = 'A' AND b.typelem <> 0 THEN b.typelem ELSE b.oid END
      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    )
  )::text
  FROM pg_catalog.pg_class c WHERE c.oid = to_regclass($${parameter})
)`;
