// The host's half of a lease: what the component lets its host do without asking.
//
// It keeps what it was granted and decides nothing: what isn't plainly within the terms is left to the component. On the hot
// path there are plain numbers and no allocation. Numbers hold sums of scores exactly up to 2^53; what might come near is not
// kept, which is slower and just as right.

import type { AdmitTerms } from './component/interfaces/softfuse-breaker-breaker.js';

/** The component must be asked. */
export const ASK = 0;
/** Calls are refused. */
export const REFUSE = 1;
/** Calls are admitted. */
export const ADMIT = 2;

/** A permit as calls carry it: an object that is compared by identity first, so that no number of 64 bits is touched. */
export class Grant {
  constructor(
    /** As the component gave it. */
    readonly permit: bigint,
    /** The component's incarnation that gave it; 0 for none. */
    readonly incarnation: number,
  ) {}
}

/** Nothing was granted. No component gives such a permit. */
export const NO_GRANT = new Grant(-1n, 0);

/** What waits, as it crosses to the component. */
export interface Batch {
  successes: number;
  lates: number;
  refused: number;
  scores: BigInt64Array;
  settledAt: BigUint64Array;
  latencies: BigUint64Array;
}

/** Scores that are kept at most: as many as a component may ask for. */
const SCORES_MAX = 256;
/** Outcomes that are kept at most where each one's details are asked for. */
const DETAILS_MAX = 256;
/** Outcomes that are counted at most. */
const COUNT_MAX = 65_535;
/** A score beyond this, in units of 10^-9, is not kept: 256 of them stay below 2^53. */
const UNITS_MAX = 3.5e13;
/** How many outcomes may be kept without looking at the clock, where the component needs no times. */
export const UNTIMED_MAX = 64;

const NO_COLUMN = new BigUint64Array(0);
const NO_SCORES = new BigInt64Array(0);

/** No number of 64 bits, or one that is no earlier than the true one: terms may only become stricter by rounding. */
function atMost(limit: bigint | undefined): number {
  if (limit === undefined) return Infinity;
  const rounded = Number(limit);
  return rounded <= Number.MAX_SAFE_INTEGER ? rounded : rounded - 2048;
}

function sumMin(limit: bigint): number {
  const rounded = Number(limit);
  if (rounded > Number.MAX_SAFE_INTEGER) return Infinity;
  return Math.max(rounded, Number.MIN_SAFE_INTEGER);
}

/** A breaker's lease. */
export class Lease {
  /** {@link ASK}, {@link REFUSE} or {@link ADMIT}. */
  admission = ASK;
  /** While calls are admitted: with this permit. */
  grant: Grant = NO_GRANT;
  /** While calls are refused: until then; `Infinity` for ever. */
  refuseUntil = 0;
  /** The latest time that was seen. Time never runs backwards. */
  latest = 0;
  /** Something may be kept: terms were granted, and what was kept under them wasn't taken yet. */
  open = false;
  /** The component asks for no time and looks at none: a benign outcome needs no clock. */
  timeless = false;
  /** Of what waits. */
  successes = 0;
  lates = 0;
  refused = 0;

  /** How many more may wait; 0 while nothing may. */
  private room = 0;
  private until = Infinity;
  private latencyMax = Infinity;
  private asksScores = false;
  private asksSettledAt = false;
  private asksLatency = false;
  private plain = true;
  /** What a success without a score counts for; NaN for nothing. */
  private missing = NaN;
  private bound = false;
  private roll = false;
  private scoresLast = 0;
  private sumsLength = 0;
  private untimed = 0;
  private sums: Float64Array | undefined;
  /** A ring of the last scores, their number, and the sum of those within the bound's reach. */
  private scores: Float64Array | undefined;
  private scoreCount = 0;
  private sum = 0;
  private settledAt: Float64Array | undefined;
  private latencies: Float64Array | undefined;
  private detailCount = 0;

  /** Whether anything waits that the component doesn't know of. */
  get waiting(): boolean {
    return this.successes > 0 || this.lates > 0 || this.refused > 0;
  }

  /** Sees a time: the one that counts. */
  note(now: number): number {
    if (now > this.latest) this.latest = now;
    return this.latest;
  }

  /** Admits calls by what the component has granted. `untilMax` is the host's own bound on how long outcomes may wait. */
  grantTerms(terms: AdmitTerms, incarnation: number, untilMax: number): void {
    if (this.grant.permit !== terms.permit || this.grant.incarnation !== incarnation) {
      this.grant = new Grant(terms.permit, incarnation);
    }
    this.admission = ADMIT;
    const { until, latencyMax, details, scoreSumsMin } = terms;
    this.asksSettledAt = details.settledAt === true;
    this.asksLatency = details.latency === true;
    const asksDetails = this.asksSettledAt || this.asksLatency;
    this.asksScores = terms.scoresLast > 0 || scoreSumsMin !== undefined;
    this.bound = scoreSumsMin !== undefined;
    this.missing = terms.missingScore === undefined ? NaN : Number(terms.missingScore);
    this.scoresLast = Math.min(terms.scoresLast, SCORES_MAX);
    this.sumsLength = Math.min(scoreSumsMin?.length ?? 0, SCORES_MAX);
    this.roll = terms.scoresRoll && this.sumsLength > 0 && this.sumsLength === scoreSumsMin?.length;
    if (scoreSumsMin !== undefined) {
      this.sums ??= new Float64Array(SCORES_MAX);
      for (let place = 0; place < this.sumsLength; place += 1) this.sums[place] = sumMin(scoreSumsMin[place] as bigint);
    }
    if (this.asksScores) this.scores ??= new Float64Array(SCORES_MAX);
    if (asksDetails) {
      this.settledAt ??= new Float64Array(DETAILS_MAX);
      this.latencies ??= new Float64Array(DETAILS_MAX);
    }
    this.room = Math.min(terms.outcomesMax, asksDetails ? DETAILS_MAX : COUNT_MAX);
    if (terms.scoresLast > SCORES_MAX) this.room = Math.min(this.room, SCORES_MAX);
    this.until = Math.min(atMost(until), untilMax);
    this.latencyMax = atMost(latencyMax);
    this.plain = !asksDetails && !this.asksScores;
    this.open = this.room > 0;
    // Where nothing may wait, terms don't say what the policy looks at.
    this.timeless = this.open && until === undefined && latencyMax === undefined && !asksDetails;
    this.untimed = UNTIMED_MAX;
  }

  /** Refuses calls until then, `Infinity` for ever. */
  refuse(until: bigint | undefined): void {
    this.admission = REFUSE;
    this.refuseUntil = atMost(until);
  }

  /** Revokes: the component is to be asked. */
  ask(): void {
    this.admission = ASK;
    this.grant = NO_GRANT;
  }

  /** While calls are refused: counts one more, and says how long it should wait: `Infinity` where nobody knows; -1 where the component must be asked. */
  countRefused(now: number): number {
    const at = now > this.latest ? now : this.latest;
    if (at >= this.refuseUntil) return -1;
    this.latest = at;
    this.refused += 1;
    return this.refuseUntil - at;
  }

  /** Whether the terms that are in force are this permit's. */
  private holds(grant: Grant): boolean {
    return grant === this.grant || (grant.permit === this.grant.permit && grant.incarnation === this.grant.incarnation);
  }

  /** Keeps a success of which no time is needed, where that is benign. `units` is NaN without a score. */
  keepTimeless(grant: Grant, units: number, pending: boolean): boolean {
    if (!this.timeless || this.room <= 0 || grant !== this.grant) return false;
    if (this.untimed <= 0) {
      // What waits must not wait for ever: the next one looks at the clock.
      this.untimed = UNTIMED_MAX;
      return false;
    }
    if (!this.plain && !this.keepScore(units === units || pending ? units : this.missing)) return false;
    this.untimed -= 1;
    this.room -= 1;
    this.successes += 1;
    return true;
  }

  /** Keeps a success, where that is benign. `units` is NaN without a score. */
  keep(grant: Grant, at: number, latency: number, units: number, pending: boolean): boolean {
    const now = at > this.latest ? at : this.latest;
    if (this.room <= 0 || !this.holds(grant) || now >= this.until || latency > this.latencyMax) return false;
    if (!this.plain) {
      if (this.asksScores && !this.keepScore(units === units || pending ? units : this.missing)) return false;
      if (this.asksSettledAt || this.asksLatency) {
        (this.settledAt as Float64Array)[this.detailCount] = now;
        (this.latencies as Float64Array)[this.detailCount] = latency;
        this.detailCount += 1;
      }
    }
    this.latest = now;
    this.room -= 1;
    this.successes += 1;
    return true;
  }

  /** Keeps a late score, where that is benign. */
  keepLate(grant: Grant, at: number, units: number): boolean {
    const now = at > this.latest ? at : this.latest;
    if (!this.open || !this.holds(grant) || now >= this.until) return false;
    if (this.asksScores) {
      if (this.room <= 0 || !this.keepScore(units)) return false;
      this.room -= 1;
      this.lates += 1;
    }
    this.latest = now;
    return true;
  }

  /** Whether a success that wasn't kept may be recorded with what waits, as the last of it. */
  goesTogether(grant: Grant, at: number, latency: number): boolean {
    const now = at > this.latest ? at : this.latest;
    return this.open && this.holds(grant) && now < this.until && latency <= this.latencyMax;
  }

  /** Puts a score into the ring, if it is benign; NaN is none. */
  private keepScore(units: number): boolean {
    if (units !== units || !this.asksScores) return true;
    if (units > UNITS_MAX || units < -UNITS_MAX) return false;
    const scores = this.scores as Float64Array;
    const count = this.scoreCount;
    if (this.bound) {
      const length = this.sumsLength;
      let sum = this.sum + units;
      let place = count;
      if (count >= length) {
        if (!this.roll) return false;
        sum -= scores[(count - length) & (SCORES_MAX - 1)] as number;
        place = length - 1;
      }
      if (sum < ((this.sums as Float64Array)[place] as number)) return false;
      this.sum = sum;
    }
    scores[count & (SCORES_MAX - 1)] = units;
    this.scoreCount = count + 1;
    return true;
  }

  /** Takes what waits, in order. Nothing more is kept until the next terms. `last` is a success that goes with it, as its last. */
  take(last?: { at: number; latency: number; units: number; pending: boolean }): Batch {
    const batch: Batch = {
      successes: this.successes,
      lates: this.lates,
      refused: this.refused,
      scores: NO_SCORES,
      settledAt: NO_COLUMN,
      latencies: NO_COLUMN,
    };
    let lastUnits = NaN;
    let details = this.detailCount;
    if (last !== undefined) {
      batch.successes += 1;
      lastUnits = Number.isNaN(last.units) && !last.pending ? this.missing : last.units;
      if (this.asksSettledAt || this.asksLatency) details += 1;
    }
    if (this.scoresLast > 0) {
      const kept = Math.min(this.scoreCount, this.scoresLast);
      const extra = Number.isNaN(lastUnits) ? 0 : 1;
      if (kept + extra > 0) {
        batch.scores = new BigInt64Array(kept + extra);
        const first = this.scoreCount - kept;
        for (let place = 0; place < kept; place += 1) {
          batch.scores[place] = BigInt((this.scores as Float64Array)[(first + place) & (SCORES_MAX - 1)] as number);
        }
        if (extra > 0) batch.scores[kept] = BigInt(lastUnits);
      }
    }
    if (this.asksSettledAt && details > 0) batch.settledAt = column(this.settledAt, this.detailCount, details, last?.at);
    if (this.asksLatency && details > 0) batch.latencies = column(this.latencies, this.detailCount, details, last?.latency);
    this.open = false;
    this.timeless = false;
    this.room = 0;
    this.successes = this.lates = this.refused = 0;
    this.scoreCount = this.sum = this.detailCount = 0;
    return batch;
  }
}

function column(kept: Float64Array | undefined, count: number, length: number, last: number | undefined): BigUint64Array {
  const column = new BigUint64Array(length);
  for (let place = 0; place < count; place += 1) column[place] = BigInt(kept?.[place] ?? 0);
  if (length > count) column[count] = BigInt(last ?? 0);
  return column;
}
