// The public types of forwarding (docs/forwarding.md). Types only, no code.

/** Where to forward committed frames, and which. See `docs/forwarding.md`. */
export interface ForwardOptions {
  /** The server's base address, below which `/v1/streams/…` is. A relative one is resolved against the page. */
  url: string | URL;
  /**
   * Returns a bearer token. Called in the page, before the first request and, with `refresh`, after the server refused
   * the last token. What it throws is reported, as is a token that no header can hold; it is called again after a while.
   */
  getToken?: ((asked: { refresh: boolean }) => string | Promise<string>) | undefined;
  /** Tables whose frames this handle forwards. Of other tables only frames with `forward: true` are. Default: none. */
  tables?: readonly string[] | undefined;
  /** How long acknowledged frames are kept in case the server loses them, in milliseconds. Default 900000 (15 minutes). */
  keepMs?: number | undefined;
  /** How many bytes of acknowledged frames are kept. Default 67108864 (64 MiB). */
  keepBytes?: number | undefined;
}

/** The state of forwarding, as the tab that sends last told it. */
export interface ForwardingStatus {
  /** Items in the outbox that the server has not acknowledged. A frame is one item, or one per 4 MiB. */
  pending: number;
  /** The sequence number of the last acknowledged item in its stream. */
  lastAcknowledged: number | null;
  /** Whether nothing is sent until `forwarding.resume()`. */
  paused: boolean;
  /**
   * Why nothing is sent now: `PAUSED`, `REMOTE_REWOUND`, `UNAUTHENTICATED` and `FORBIDDEN` until `resume()`;
   * `NETWORK`, `TIMEOUT`, `TOKEN`, `BAD_ANSWER` and `HTTP_…` until the next try. Null while all is well.
   */
  reason: string | null;
  /** Items that the server refused. */
  deadLetters: number;
  /** The id of the stream, once there is one. */
  stream: string | null;
}

/** An item that the server refused. Its rows are in the table here, but not on the server. */
export interface DeadLetter {
  /** For `retryDeadLetter` and `discardDeadLetter`. */
  id: number;
  stream: string;
  /** Its sequence number, which the server has recorded as skipped. */
  seq: number;
  table: string;
  rows: number;
  /** The server's reason: `SCHEMA_MISMATCH`, `CONSTRAINT`, `VALUE_OUT_OF_RANGE`, … */
  code: string;
  title?: string;
  column?: string;
  row?: number;
}

/** What happened to forwarding; every tab hears of it. */
export interface ForwardEvent extends ForwardingStatus {
  /**
   * `acknowledged`: the server has more. `waiting`: a request failed, and will be made again. `paused`, `resumed`.
   * `dead-letter`: the server refused an item. `rewound`: it had lost items, which are sent again. `forked`: a copy of
   * this database sends under the same stream id; what is not acknowledged goes under a new one.
   */
  what: 'acknowledged' | 'waiting' | 'paused' | 'resumed' | 'dead-letter' | 'rewound' | 'forked';
  deadLetter?: DeadLetter;
}

/** Controls forwarding, from any tab. */
export interface Forwarding {
  /** No tab sends any more, also after a reload. Frames are still put into the outbox. */
  pause(): Promise<void>;
  /** Sends again after `pause()`, a refused token or a rewound server. */
  resume(): Promise<void>;
  /**
   * After `REMOTE_REWOUND`: begins a new stream with every item that is still kept and that the server does not say it
   * has. What the server lost and is no longer kept stays lost there. Throws `INVALID_ARGUMENT` at any other time.
   */
  restart(): Promise<void>;
  /** The items that the server refused, oldest first. They stay until you retry or discard them. */
  deadLetters(): Promise<DeadLetter[]>;
  /** Puts a dead letter at the end of the outbox, once its cause is gone. */
  retryDeadLetter(id: number): Promise<void>;
  /** Removes a dead letter for good. Its rows stay in the table here. */
  discardDeadLetter(id: number): Promise<void>;
}
