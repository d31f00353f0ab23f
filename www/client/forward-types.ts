// The public types of forwarding (docs/forwarding.md). Types only, no code.

/** Where to forward committed frames, and which. See `docs/forwarding.md`. */
export interface ForwardOptions {
  /** The server's base address, below which `/v1/streams/…` is; relative ones count from the page. */
  url: string | URL;
  /**
   * Gives a bearer token, now or later. Called in the page, before the first request and, with `refresh`, after the
   * server refused the last token. What it throws is reported, and it is asked again after a while.
   */
  getToken?: ((asked: { refresh: boolean }) => string | Promise<string>) | undefined;
  /** Tables of which this handle forwards every frame; others forward the frames that say so. Default: none. */
  tables?: readonly string[] | undefined;
  /** How long acknowledged frames are kept, should the server lose them, in milliseconds. Default 900000 (15 minutes). */
  keepMs?: number | undefined;
  /** How many bytes of acknowledged frames are kept. Default 67108864 (64 MiB). */
  keepBytes?: number | undefined;
}

/** How forwarding goes, as of the last news of the tab that sends. */
export interface ForwardingStatus {
  /** Items in the outbox that the server has not acknowledged. A frame is one item, or one for each 4 MiB. */
  pending: number;
  /** The sequence number of the last acknowledged item in its stream. */
  lastAcknowledged: number | null;
  /** Whether nothing is sent until `forwarding.resume()`. */
  paused: boolean;
  /**
   * Why nothing is sent just now: `PAUSED`, `REMOTE_REWOUND`, `UNAUTHENTICATED` and `FORBIDDEN` until `resume()`;
   * `NETWORK`, `TIMEOUT`, `TOKEN`, `BAD_ANSWER` and `HTTP_…` until the next try. Null while all is well.
   */
  reason: string | null;
  /** Items that the server refused. */
  deadLetters: number;
  /** The id of the stream, once there is one. */
  stream: string | null;
}

/** An item that the server refused. Its rows are in the table here, and not over there. */
export interface DeadLetter {
  /** Names it in `retryDeadLetter` and `discardDeadLetter`. */
  id: number;
  stream: string;
  /** Its sequence number, of which the server has recorded that it was skipped. */
  seq: number;
  table: string;
  rows: number;
  /** The server's reason: `SCHEMA_MISMATCH`, `CONSTRAINT`, `VALUE_OUT_OF_RANGE`, … */
  code: string;
  title?: string;
  column?: string;
  row?: number;
}

/** What happened to what is forwarded; every tab hears of it. */
export interface ForwardEvent extends ForwardingStatus {
  /**
   * `acknowledged`: the server has more. `waiting`: an exchange failed, and is made again. `paused`, `resumed`.
   * `dead-letter`: the server refused an item. `rewound`: it had lost items, and is sent them again. `forked`: a copy of
   * this database sends under the same stream id; what is not acknowledged goes under a new one.
   */
  what: 'acknowledged' | 'waiting' | 'paused' | 'resumed' | 'dead-letter' | 'rewound' | 'forked';
  deadLetter?: DeadLetter;
}

/** What may be done about forwarding, from any tab. */
export interface Forwarding {
  /** Nothing is sent any more, by no tab, also after a reload. Frames go on being put into the outbox. */
  pause(): Promise<void>;
  /** Goes on after `pause()`, or tries again what stopped the sender: a refused token, a rewound server. */
  resume(): Promise<void>;
  /**
   * After `REMOTE_REWOUND`: begins a new stream with every item that is still kept and that the server does not say it
   * has. What it lost and is kept no more stays lost over there. Throws `INVALID_ARGUMENT` at any other time.
   */
  restart(): Promise<void>;
  /** The items that the server refused, oldest first. None is ever dropped by itself. */
  deadLetters(): Promise<DeadLetter[]>;
  /** Puts a dead letter behind everything in the outbox, for when its cause was cured. */
  retryDeadLetter(id: number): Promise<void>;
  /** Removes a dead letter for good. Its rows stay in the table here. */
  discardDeadLetter(id: number): Promise<void>;
}
