// An empty WASI context: what a language's runtime asks for when it starts, answered with nothing. No files, no network, no
// environment, no arguments; a clock that only counts, and randomness that is always the same.

/** A stream that takes everything and gives nothing. */
class Stream {
  checkWrite(): bigint {
    return 65_536n;
  }

  write(): void {}
  blockingWriteAndFlush(): void {}
  flush(): void {}
  blockingFlush(): void {}

  read(): never {
    throw { tag: 'closed' };
  }

  blockingRead(): never {
    throw { tag: 'closed' };
  }

  subscribe(): Pollable {
    return new Pollable();
  }
}

class Pollable {
  ready(): boolean {
    return true;
  }

  block(): void {}
}

class Nothing {}

/** The context of one instance. */
export function emptyWasi(): Record<string, unknown> {
  let instant = 0n;
  const count = (): bigint => (instant += 1000n);
  const zeros = (length: bigint): Uint8Array => new Uint8Array(Math.min(Number(length), 65_536));
  const stream = (): Stream => new Stream();
  const functions: Record<string, unknown> = {
    getEnvironment: () => [],
    getArguments: () => [],
    initialCwd: () => undefined,
    getDirectories: () => [],
    getStdin: stream,
    getStdout: stream,
    getStderr: stream,
    getTerminalStdin: () => undefined,
    getTerminalStdout: () => undefined,
    getTerminalStderr: () => undefined,
    getRandomBytes: zeros,
    getInsecureRandomBytes: zeros,
    getRandomU64: () => 0n,
    getInsecureRandomU64: () => 0n,
    insecureSeed: () => [0n, 0n],
    subscribeDuration: () => new Pollable(),
    subscribeInstant: () => new Pollable(),
    poll: (some: readonly unknown[]) => Uint32Array.from(some, (_, place) => place),
    filesystemErrorCode: () => undefined,
    exit: () => {
      throw new Error('the scorer has ended itself');
    },
  };
  const monotonic = {
    now: count,
    resolution: () => 1000n,
    subscribeDuration: functions.subscribeDuration,
    subscribeInstant: functions.subscribeInstant,
  };
  const wall = { now: () => ({ seconds: 0n, nanoseconds: 0 }), resolution: () => ({ seconds: 0n, nanoseconds: 1000 }) };
  const classes: Record<string, unknown> = { InputStream: Stream, OutputStream: Stream, Pollable };
  const offered = (face: string): object =>
    new Proxy(
      {},
      {
        get: (_, name) => {
          if (typeof name !== 'string') return undefined;
          const clock = face.includes('monotonic-clock') ? monotonic : face.includes('wall-clock') ? wall : {};
          const found = (clock as Record<string, unknown>)[name] ?? functions[name] ?? classes[name];
          if (found !== undefined) return found;
          // Resources are named as classes are.
          if (/^[A-Z]/.test(name)) return Nothing;
          return () => {
            throw new Error(`a scorer has no ${face}`);
          };
        },
        has: () => true,
      },
    );
  return new Proxy({}, { get: (_, face) => (typeof face === 'string' ? offered(face) : undefined), has: () => true });
}
