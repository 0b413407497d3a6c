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

/** One call and its answer, as the contract has it. */
export interface WireExchange {
  head: { operation: string; model: string; request: WireBody; metadata: [string, string][] };
  answer: WireBody;
}

/** How a scorer failed. */
export type ScorerFailureKind = 'timeout' | 'trap' | 'malformed' | 'invalid-score' | 'refused' | 'busy' | 'closed' | 'other';

/** To the worker. */
export type Order =
  | { do: 'prepare'; component: Uint8Array; memoryBytesMax: number; transpiler: string }
  | { do: 'start'; prepared: Prepared; config: string; fresh: boolean }
  | { do: 'score'; exchange: WireExchange };

/** From the worker. */
export type Reply =
  | { is: 'prepared'; prepared: Prepared }
  | { is: 'started' }
  | { is: 'score'; score: number }
  | { is: 'abstained'; text: string }
  | { is: 'failed'; kind: ScorerFailureKind; message: string };
