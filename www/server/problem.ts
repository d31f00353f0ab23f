// Refusals as the wire has them: application/problem+json with a stable code. No SQL and no values are in them.

const TITLES = {
  BAD_REQUEST: [400, 'The request is not one of this service'],
  DIGEST_MISMATCH: [400, 'The body is not what its digest says'],
  UNAUTHENTICATED: [401, 'A token is needed, or is no longer valid'],
  FORBIDDEN: [403, 'This stream or table is not yours'],
  NOT_FOUND: [404, 'There is nothing here'],
  METHOD_NOT_ALLOWED: [405, 'This is not done here'],
  BODY_TIMEOUT: [408, 'The body came too slowly'],
  SEQ_GAP: [409, 'Another frame is expected'],
  STREAM_FORKED: [409, 'This frame was recorded with other content'],
  TOO_LARGE: [413, 'More than is taken at once'],
  UNSUPPORTED_MEDIA: [415, 'Neither an Arrow stream nor a skip'],
  REJECTED: [422, 'The table does not take these rows'],
  RATE_LIMITED: [429, 'Too many requests'],
  INTERNAL: [500, 'The server failed'],
  UNAVAILABLE: [503, 'Not now'],
} as const;

export type ProblemCode = keyof typeof TITLES;

/** What a problem says beside its code; nothing of it may be a value or SQL. */
export interface ProblemDetails {
  detail?: string;
  reason?: string;
  column?: string;
  row?: number;
  last_seq?: number;
  last_digest?: string | null;
  skipped?: readonly object[] | undefined;
}

/** Thrown anywhere below the handler, answered by it. */
export class Problem extends Error {
  readonly status: number;
  constructor(
    readonly code: ProblemCode,
    readonly details: ProblemDetails = {},
    /** Seconds, for those that are worth another try. */
    readonly retryAfter?: number,
    options?: ErrorOptions,
  ) {
    super(`${code}${details.detail ? `: ${details.detail}` : ''}`, options);
    this.name = 'Problem';
    this.status = TITLES[code][0];
  }

  response(): Response {
    const title = TITLES[this.code][1];
    const body = { type: 'about:blank', title, status: this.status, code: this.code, ...this.details };
    const headers = new Headers({ 'Content-Type': 'application/problem+json', 'Cache-Control': 'no-store' });
    if (this.retryAfter !== undefined)
      headers.set('Retry-After', String(Math.max(1, Math.ceil(this.retryAfter))));
    if (this.code === 'UNAUTHENTICATED') headers.set('WWW-Authenticate', 'Bearer');
    if (this.code === 'METHOD_NOT_ALLOWED') headers.set('Allow', 'GET, PUT, OPTIONS');
    return new Response(JSON.stringify(body), { status: this.status, headers });
  }
}

/** A stream belongs to the tenant that began it. */
export const notYours = () => new Problem('FORBIDDEN', { detail: 'this stream is not yours' });

/** A failure that is not the sender's and may be gone in a moment; `cause` is for the operator alone. */
export function unavailable(cause: unknown, retryAfter = 1): Problem {
  return new Problem('UNAVAILABLE', {}, retryAfter, { cause });
}
