// What a scorer's host and its worker say to each other.

/** A component that was made ready to be run: code, and its core modules. */
export interface Prepared {
  code: string;
  modules: Map<string, WebAssembly.Module>;
}

/** A request's or an answer's content. */
export interface WireBody {
  contentType: string;
  bytes: Uint8Array;
  truncated: boolean;
}

/** What is known when a call begins to be answered. */
export interface WireHead {
  operation: string;
  model: string;
  request: WireBody;
  metadata: [string, string][];
}

/** One call and its answer, as the contract has it. */
export interface WireExchange {
  head: WireHead;
  answer: WireBody;
}

/** Of an answer that is scored as it passes: its beginning, a piece, and its end, each where it is there. */
export interface StreamOrder {
  do: 'stream';
  stream: number;
  begin?: { head: WireHead; contentType: string } | undefined;
  /** Empty for none. */
  piece: Uint8Array;
  /** `forgotten`: nobody wants its score. */
  end?: 'complete' | 'broken' | 'forgotten' | undefined;
}

/** How a scorer failed. */
export type ScorerFailureKind = 'timeout' | 'trap' | 'malformed' | 'invalid-score' | 'refused' | 'busy' | 'closed' | 'other';

/** To the worker. */
export type Order =
  | { do: 'prepare'; component: Uint8Array; memoryBytesMax: number; transpiler: string }
  | { do: 'start'; prepared: Prepared; config: string; fresh: boolean }
  | { do: 'score'; exchange: WireExchange }
  /** An instance, for a stream that begins. */
  | { do: 'ready' }
  | StreamOrder;

/** From the worker. */
export type Reply =
  | { is: 'prepared'; prepared: Prepared }
  | { is: 'started'; streams: boolean }
  /** A piece was taken, and there is no verdict yet. */
  | { is: 'heard' }
  | { is: 'score'; score: number }
  | { is: 'abstained'; text: string }
  | { is: 'failed'; kind: ScorerFailureKind; message: string };
