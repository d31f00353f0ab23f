// COPY … FROM STDIN on a connection of `pg`: one of its "submittables", which see the protocol's messages.
//
// pg-copy-streams does this for streams. Here the bytes come from a function that must not run ahead of the socket,
// and nothing else of a stream is wanted: these lines are fewer than what would adapt one, and spare a dependency.

/** What a submittable uses of pg's connection. */
interface Connection {
  query(text: string): void;
  sendCopyFromChunk(chunk: Uint8Array): void;
  endCopyFrom(): void;
  sendCopyFail(message: string): void;
  stream: { writableNeedDrain?: boolean; once(event: 'drain', listener: () => void): unknown };
}

/** A COPY for `client.query(…)`; `done` settles when the server is ready for the next statement, or the connection is gone. */
export class CopyIn {
  readonly done: Promise<void>;
  /** pg keeps its own wrapper here when a query has a time limit. */
  callback: () => void = () => undefined;
  #settle!: { resolve: () => void; reject: (error: unknown) => void };
  #failure: { error: unknown } | undefined;

  constructor(
    private readonly text: string,
    private readonly next: () => Uint8Array<ArrayBuffer> | null,
  ) {
    this.done = new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
  }

  submit(connection: Connection): void {
    connection.query(this.text);
  }

  handleCopyInResponse(connection: Connection): void {
    this.#send(connection).catch((error: unknown) => {
      // The server answers this with an error, by which time ours is the one that counts.
      this.#failure ??= { error };
      connection.sendCopyFail('the sender stopped');
    });
  }

  async #send(connection: Connection): Promise<void> {
    for (let piece = this.next(); piece && !this.#failure; piece = this.next()) {
      // pg knows bytes by Buffer's methods; where pg runs there is one.
      connection.sendCopyFromChunk(Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength));
      if (connection.stream.writableNeedDrain) {
        await new Promise<void>((resolve) => connection.stream.once('drain', resolve));
      }
    }
    // After an error the server is waiting for nothing more.
    if (!this.#failure) connection.endCopyFrom();
  }

  handleError(error: unknown): void {
    this.#failure ??= { error };
    // pg sends no ReadyForQuery to a query that has failed.
    this.#settle.reject(this.#failure.error);
    this.callback();
  }

  handleReadyForQuery(): void {
    if (this.#failure) this.#settle.reject(this.#failure.error);
    else this.#settle.resolve();
    this.callback();
  }

  handleCommandComplete(): void {}
  handleRowDescription(): void {}
  handleDataRow(): void {}
  handlePortalSuspended(): void {}
  handleEmptyQuery(): void {}
}
