// What can be made to fail, and the messages in which the page and the test worker speak of it. Types only.

/** Which of the next calls fail. */
export interface Fault {
  /** How many calls succeed before the first one fails. Default 0. */
  after?: number;
  /** How many calls then fail. Default 1; `Infinity` fails all of them until the faults are ended. */
  times?: number;
}

/** Calls on files that can fail; `open` is taking the file's access handle. */
export type FileCall = 'open' | 'read' | 'write' | 'truncate' | 'flush' | 'move' | 'remove';

/** Which file calls fail, and how. */
export interface FileFault extends Fault {
  /** Default: any of them. */
  call?: FileCall;
  /** Default: any of them. */
  file?: 'database' | 'journal' | 'queue';
  /** `io` (default): the disk fails. `quota`: it is full. `lost`: the file is gone. `inUse`: somebody has it open. */
  error?: 'io' | 'quota' | 'lost' | 'inUse';
}

/** What fails in one handle's worker. What is left out works. */
export interface FaultPlan {
  /** File calls of the database, its journal and its queue. */
  files?: FileFault;
  /** Messages to other tabs: they are lost on the way. */
  messages?: Fault;
  /**
   * Requests for the lock: they are not granted before the faults are ended, as if a tab that does not answer held it.
   * The handle also gives up a lock that it holds and does not use.
   */
  locks?: Fault;
}

/** How many calls failed so far. */
export interface FaultCounts {
  files: number;
  messages: number;
  locks: number;
}

/** Page → test worker: a new plan in place of the last one. */
export interface PlanMessage {
  kind: 'faults';
  id: number;
  plan: FaultPlan;
}

/** Test worker → page: the plan is in force; the counts are those of the plan before it. */
export interface PlanReply {
  kind: 'faults';
  id: number;
  counts: FaultCounts;
}
