// Scores an answer as its pieces pass. It never holds up whoever passes them on: pieces wait here, within bounds, while the scorer is at
// others. What came is kept as well, so that a scorer that takes no streams, has no room for one more, or has lost it, is shown it at the end.

import type { Reply, StreamOrder, WireExchange, WireHead } from './protocol.js';

/** What a stream needs of its scorer. */
export interface StreamHost {
  readonly bodyBytesMax: number;
  /** Whether this stream may have an instance now. It is given back by `letGo`. */
  mayBegin(stream: ScoreStream): boolean;
  /** It has had a piece. */
  alive(stream: ScoreStream): void;
  letGo(stream: ScoreStream): void;
  /**
   * Carries an order out in its turn: it is made then, for the worker of then, with an instance ready for a stream that begins. Where none is made, or
   * there is no worker for one that has begun, nothing is done.
   */
  order(make: (worker: number) => StreamOrder | undefined, begins: boolean): Promise<Reply | undefined>;
  /** What a reply says: a score, or undefined for an abstention. Throws where it is a failure. */
  scoreOf(reply: Reply): number | undefined;
  /** Scores a whole answer. */
  whole(exchange: WireExchange): Promise<number | undefined>;
}

/** What a scorer has said of an answer before its end. */
export interface Spoken {
  /** Undefined where it has abstained, or failed. */
  score: number | undefined;
}

const NOTHING = new Uint8Array();
let streamsMade = 0;

function joined(parts: readonly Uint8Array[], length: number): Uint8Array {
  if (parts.length === 1 && parts[0] !== undefined) return parts[0];
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** An answer that is scored as it passes; `scorer.stream()` begins it. End it by `finish` or `discard`. */
export class ScoreStream {
  private readonly id = (streamsMade += 1);
  private readonly kept: Uint8Array[] = [];
  private keptBytes = 0;
  private cut = false;
  private unsent: Uint8Array[] = [];
  private unsentBytes = 0;
  private sending: Promise<void> | undefined;
  /** The worker that has it; 0 before its first piece. */
  private worker = 0;
  private state: 'passing' | 'collecting' | 'spoken' | 'over';
  private said: Promise<number | undefined> | undefined;
  private spoken: Spoken | undefined;
  private finished: Promise<number | undefined> | undefined;

  /** @internal */
  constructor(
    private readonly host: StreamHost,
    private readonly head: WireHead,
    private readonly contentType: string,
  ) {
    this.state = host.mayBegin(this) ? 'passing' : 'collecting';
  }

  /** What the scorer has said already: a worthless answer need not be read on. Undefined as long as it hasn't spoken. */
  get verdict(): Spoken | undefined {
    return this.spoken;
  }

  /** Shows the next piece, in order: bytes, or text, which becomes UTF-8. After a verdict pieces are not looked at. */
  push(piece: Uint8Array | string): void {
    if (this.state === 'spoken' || this.state === 'over' || this.finished !== undefined) return;
    // It may be written over by whoever has it, and is sent later.
    const bytes = typeof piece === 'string' ? new TextEncoder().encode(piece) : piece.slice();
    if (bytes.length === 0) return;
    const { bodyBytesMax } = this.host;
    const room = bodyBytesMax - this.keptBytes;
    this.cut ||= bytes.length > room;
    if (room > 0) {
      this.kept.push(bytes.subarray(0, room));
      this.keptBytes += Math.min(room, bytes.length);
    }
    if (this.state !== 'passing') return;
    this.host.alive(this);
    this.unsent.push(bytes);
    this.unsentBytes += bytes.length;
    // The scorer is too slow for it.
    if (this.unsentBytes > bodyBytesMax) this.collect();
    else this.sending ??= this.send();
  }

  /**
   * The answer has ended; not `complete`, where it broke off. The score; undefined where the scorer abstains. Throws {@link ScorerError}.
   */
  finish(complete = true): Promise<number | undefined> {
    return (this.finished ??= this.end(complete));
  }

  private async end(complete: boolean): Promise<number | undefined> {
    await this.sending;
    if (this.state === 'passing') await this.pass(complete ? 'complete' : 'broken');
    if (this.state === 'collecting') {
      const { head, contentType, host } = this;
      const answer = { contentType, bytes: joined(this.kept, this.keptBytes), truncated: this.cut || !complete };
      this.said = host.whole({ head, answer });
    }
    this.state = 'over';
    return this.said;
  }

  /** Gives it up, without a score. */
  discard(): void {
    if (this.finished !== undefined) return;
    if (this.state === 'passing') this.forget();
    this.state = 'over';
    this.kept.length = 0;
  }

  /** Gives its instance back: what came is scored at the end. @internal */
  collect(): void {
    if (this.state !== 'passing') return;
    this.state = 'collecting';
    this.forget();
  }

  private forget(): void {
    const { host, id, sending } = this;
    this.unsent = [];
    this.unsentBytes = 0;
    // An order of it that waits for its turn takes room as well.
    if (sending === undefined) host.letGo(this);
    else void sending.then(() => host.letGo(this));
    if (this.worker === 0) return;
    const order: StreamOrder = { do: 'stream', stream: id, piece: NOTHING, end: 'forgotten' };
    void host.order((worker) => (this.worker === worker ? order : undefined), false).catch(() => undefined);
  }

  private async send(): Promise<void> {
    while (this.state === 'passing' && this.unsent.length > 0) await this.pass(undefined);
    this.sending = undefined;
  }

  /** Hands in all that waits by then, and hears what the scorer says. */
  private async pass(end: 'complete' | 'broken' | undefined): Promise<void> {
    try {
      const reply = await this.host.order((worker) => this.next(worker, end), this.worker === 0);
      if (this.state !== 'passing') return;
      if (reply === undefined) this.collect();
      else if (reply.is !== 'heard') this.speak(() => this.host.scoreOf(reply));
    } catch (error) {
      if (this.state === 'passing') {
        this.speak(() => {
          throw error;
        });
      }
    }
  }

  private next(worker: number, end: 'complete' | 'broken' | undefined): StreamOrder | undefined {
    if (this.state !== 'passing') return undefined;
    // Another worker than the one that has it: that one was ended for another's fault.
    if (this.worker !== 0 && this.worker !== worker) return undefined;
    const begin = this.worker === 0 ? { head: this.head, contentType: this.contentType } : undefined;
    this.worker = worker;
    const piece = joined(this.unsent, this.unsentBytes);
    this.unsent = [];
    this.unsentBytes = 0;
    return { do: 'stream', stream: this.id, begin, piece, end };
  }

  private speak(said: () => number | undefined): void {
    this.state = 'spoken';
    this.host.letGo(this);
    try {
      this.spoken = { score: said() };
      this.said = Promise.resolve(this.spoken.score);
    } catch (failure) {
      this.spoken = { score: undefined };
      this.said = Promise.reject(failure);
      // Who asks by `finish` hears of it.
      this.said.catch(() => undefined);
    }
  }
}
