// As much of Node as testing/node.ts uses. Node's own types would add its globals to the whole package.
declare module 'node:fs' {
  export function readFileSync(path: URL): Uint8Array<ArrayBuffer>;
}

declare module 'node:worker_threads' {
  export const MessageChannel: typeof globalThis.MessageChannel;
  export class Worker {
    constructor(
      script: URL,
      options: { workerData: unknown; transferList: MessagePort[]; execArgv: string[] },
    );
    on(event: 'error', listener: (reason: unknown) => void): void;
    terminate(): void;
    unref(): void;
  }
  export const workerData: unknown;
}
