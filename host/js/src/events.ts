// Streams of events (server-sent events), as far as it takes to see errors in them, and their ends.

import { classifyError, classifyModelError } from './classify.js';
import type { OutcomeKind } from './types.js';

/** What is looked at of one event's data, in characters: an error, and an end mark, are shorter. */
const EVENT_CHARS_MAX = 16_384;

/** One event of a stream. */
export interface StreamEvent {
  /** Its name; empty where it has none. */
  event: string;
  data: string;
}

/** What an event counts as that tells of an error, and what it says. */
export interface StreamFailure {
  kind: OutcomeKind;
  message: string;
  /** How long the service asks not to be called, in milliseconds, where it does. */
  retryAfterMs?: number | undefined;
}

/** Reads a stream of events (https://html.spec.whatwg.org/multipage/server-sent-events.html) in pieces of any size. */
export class EventReader {
  private line = '';
  private event = '';
  private data: string | undefined;
  private afterCr = false;

  constructor(private readonly told: (event: StreamEvent) => void) {}

  /** The next piece of the text. */
  read(piece: string): void {
    let from = this.afterCr && piece.startsWith('\n') ? 1 : 0;
    if (piece !== '') this.afterCr = false;
    for (let at = from; at < piece.length; at += 1) {
      const char = piece.charCodeAt(at);
      if (char !== 10 && char !== 13) continue;
      this.keep(piece.slice(from, at));
      this.endLine();
      from = at + 1;
      if (char === 13 && from === piece.length) this.afterCr = true;
      if (char === 13 && piece.charCodeAt(from) === 10) {
        at = from;
        from += 1;
      }
    }
    this.keep(piece.slice(from));
  }

  /** The stream has ended: its last event may lack the empty line after it. */
  end(): void {
    this.read('\n\n');
  }

  private keep(part: string): void {
    this.line += part.slice(0, EVENT_CHARS_MAX - this.line.length);
  }

  private endLine(): void {
    const { line } = this;
    this.line = '';
    if (line === '') {
      if (this.data !== undefined || this.event !== '') this.told({ event: this.event, data: this.data ?? '' });
      this.event = '';
      this.data = undefined;
      return;
    }
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (field === 'event') this.event = value;
    else if (field === 'data') this.data = (this.data === undefined ? value : `${this.data}\n${value}`).slice(0, EVENT_CHARS_MAX);
  }
}

/** What an error counts as that was told of inside of a stream. One that was thrown elsewhere may have a status of its own. */
function failureOf(said: any, text: string): StreamFailure {
  const message = typeof said === 'string' ? said : typeof said?.message === 'string' ? said.message : text;
  if (!(said instanceof Error)) return { kind: classifyModelError(said ?? {}), message };
  const { kind, retryAfterMs } = classifyError(said);
  return { kind, message, retryAfterMs };
}

const tellsOfError = (name: unknown): boolean => name === 'error' || name === 'response.failed';

/**
 * Finds the errors that services for language models send in streams that began with 200: an event `error` or `response.failed`, or data
 * with an `error` in it. What its type and its code mean says `classifyModelError`.
 */
export function modelError({ event, data }: StreamEvent): StreamFailure | undefined {
  const named = tellsOfError(event);
  if (!named && !data.includes('"error"')) return undefined;
  let found: any;
  try {
    found = JSON.parse(data);
  } catch {
    found = undefined;
  }
  if (!named && !found?.error && found?.type !== 'error') return undefined;
  return failureOf(found?.error ?? found?.response?.error ?? found, data);
}

/**
 * The same of what clients hand on as values instead of throwing it: a piece whose `type` is `error` or `response.failed`, as in OpenAI's
 * `responses.create({ stream: true })`.
 */
export function modelPieceError(piece: unknown): StreamFailure | undefined {
  const { type, error, response } = (typeof piece === 'object' && piece !== null ? piece : {}) as { type?: unknown; error?: any; response?: any };
  return tellsOfError(type) ? failureOf(error ?? response?.error ?? piece, String(type)) : undefined;
}
