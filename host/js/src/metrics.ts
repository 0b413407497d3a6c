// What breakers count, and the Prometheus text of it: names and labels are those of Softfuse's other hosts.

import { STATES, type OutcomeKind, type State, isNeutral } from './types.js';

/** Upper bounds of the latency buckets, in seconds. */
export const LATENCY_BUCKETS_SECONDS: readonly number[] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300];

/** Upper bounds of the score buckets. Scores run from 0 to 1 by convention; what is over falls into the last. */
export const SCORE_BUCKETS: readonly number[] = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1];

/** The content type of a registry's metrics. */
export const METRICS_CONTENT_TYPE = 'application/openmetrics-text; version=1.0.0; charset=utf-8';

/** Samples by bucket, the last of which has no upper bound. */
class Histogram {
  readonly counts: Float64Array;
  sum = 0;

  constructor(
    private readonly bounds: Float64Array,
    /** What a sample is divided by, for the sum and the bounds as they are shown. */
    readonly scale: number,
  ) {
    this.counts = new Float64Array(bounds.length + 1);
  }

  add(sample: number): void {
    const { bounds, counts } = this;
    let place = 0;
    while (place < bounds.length && sample > (bounds[place] as number)) place += 1;
    counts[place] = (counts[place] as number) + 1;
    this.sum += sample;
  }
}

const LATENCY_NANOS = Float64Array.from(LATENCY_BUCKETS_SECONDS, (seconds) => seconds * 1e9);
const SCORE_UNITS = Float64Array.from(SCORE_BUCKETS, (score) => Math.round(score * 1e9));

/** What one breaker counts, or the breakers of one keyed family together. */
export class Tally {
  successes = 0;
  failures = 0;
  neutral = 0;
  rejected = 0;
  unguarded = 0;
  leased = 0;
  trips = 0;
  recordsLost = 0;
  readonly latencies = new Histogram(LATENCY_NANOS, 1e9);
  readonly scores = new Histogram(SCORE_UNITS, 1e9);
  /** By state: how many breakers are in it. */
  readonly states = new Array<number>(STATES.length).fill(0);
  readonly scorers = new Map<string, { dropped: number; failures: Map<string, number> }>();
  /** What leases keep that isn't counted here yet. */
  waiting: () => { successes: number; refused: number; entries: number } = () => ({ successes: 0, refused: 0, entries: 0 });

  constructor(
    readonly name: string,
    readonly keyed: boolean,
  ) {}

  count(kind: OutcomeKind): void {
    if (kind === 'success') this.successes += 1;
    else if (isNeutral(kind)) this.neutral += 1;
    else this.failures += 1;
  }

  appeared(state: State): void {
    const place = STATES.indexOf(state);
    this.states[place] = (this.states[place] as number) + 1;
  }

  vanished(state: State): void {
    const place = STATES.indexOf(state);
    this.states[place] = (this.states[place] as number) - 1;
  }

  scorer(name: string): { dropped: number; failures: Map<string, number> } {
    let found = this.scorers.get(name);
    if (found === undefined) this.scorers.set(name, (found = { dropped: 0, failures: new Map() }));
    return found;
  }
}

/** What a registry counts beside its breakers. */
export interface Overall {
  componentFailures: ReadonlyMap<string, number>;
  componentRestarts: number;
  eventsDropped: number;
}

type Labels = readonly (readonly [string, string])[];

function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

function labelled(labels: Labels): string {
  return labels.length === 0 ? '' : `{${labels.map(([key, value]) => `${key}="${escaped(value)}"`).join(',')}}`;
}

/** As Prometheus wants numbers: a whole one has a decimal, so that it reads as a float. */
function float(value: number): string {
  return Number.isInteger(value) ? `${value}.0` : String(value);
}

class Text {
  readonly lines: string[] = [];

  begin(name: string, type: 'gauge' | 'counter' | 'histogram', help: string): void {
    this.lines.push(`# HELP softfuse_${name} ${help}`, `# TYPE softfuse_${name} ${type}`);
  }

  sample(name: string, labels: Labels, value: number): void {
    this.lines.push(`softfuse_${name}${labelled(labels)} ${value}`);
  }

  histogram(name: string, labels: Labels, histogram: Histogram, bounds: readonly number[]): void {
    let count = 0;
    histogram.counts.forEach((samples, place) => {
      count += samples;
      const le = bounds[place] === undefined ? '+Inf' : float(bounds[place]);
      this.lines.push(`softfuse_${name}_bucket${labelled([...labels, ['le', le]])} ${count}`);
    });
    this.lines.push(`softfuse_${name}_sum${labelled(labels)} ${float(histogram.sum / histogram.scale)}`);
    this.lines.push(`softfuse_${name}_count${labelled(labels)} ${count}`);
  }
}

/** The exposition, in the OpenMetrics text format. */
export function exposition(tallies: readonly Tally[], overall: Overall): string {
  const text = new Text();
  const each = (name: string, help: string, value: (tally: Tally) => number): void => {
    text.begin(name, 'counter', help);
    for (const tally of tallies) text.sample(`${name}_total`, [['breaker', tally.name]], value(tally));
  };
  text.begin('state', 'gauge', 'Where the circuit stands: 0 closed, 1 open, 2 half-open, 3 forced open, 4 disabled, 5 metrics-only.');
  for (const tally of tallies.filter((one) => !one.keyed)) {
    text.sample(
      'state',
      [['breaker', tally.name]],
      Math.max(
        0,
        tally.states.findIndex((count) => count > 0),
      ),
    );
  }
  text.begin('keyed_breakers', 'gauge', 'Breakers of a keyed family that are in this state.');
  for (const tally of tallies.filter((one) => one.keyed)) {
    STATES.forEach((state, place) =>
      text.sample(
        'keyed_breakers',
        [
          ['breaker', tally.name],
          ['state', state],
        ],
        tally.states[place] ?? 0,
      ),
    );
  }
  each('trip', 'Openings, re-openings included.', (tally) => tally.trips);
  text.begin('call', 'counter', 'Calls by how they ended.');
  for (const tally of tallies) {
    const waiting = tally.waiting();
    const outcomes: [string, number][] = [
      ['success', tally.successes + waiting.successes],
      ['failure', tally.failures],
      ['neutral', tally.neutral],
      ['rejected', tally.rejected + waiting.refused],
    ];
    for (const [outcome, count] of outcomes)
      text.sample(
        'call_total',
        [
          ['breaker', tally.name],
          ['outcome', outcome],
        ],
        count,
      );
  }
  each('unguarded', 'Calls that were admitted without a breaker, since its component had failed.', (tally) => tally.unguarded);
  each('leased', 'Outcomes and late scores that were recorded together, under a lease.', (tally) => tally.leased + tally.waiting().entries);
  text.begin('quality_score', 'histogram', 'Scores of answers.');
  for (const tally of tallies) text.histogram('quality_score', [['breaker', tally.name]], tally.scores, SCORE_BUCKETS);
  text.begin('latency_seconds', 'histogram', 'Latencies of settled calls.');
  for (const tally of tallies) text.histogram('latency_seconds', [['breaker', tally.name]], tally.latencies, LATENCY_BUCKETS_SECONDS);
  text.begin('component_failures', 'counter', 'Failures of the breaker component.');
  for (const [reason, count] of overall.componentFailures) text.sample('component_failures_total', [['reason', reason]], count);
  const lost = tallies.reduce((sum, tally) => sum + tally.recordsLost, 0);
  const plain: [string, string, number][] = [
    ['component_restarts', 'Restarts of the breaker component.', overall.componentRestarts],
    ['records_lost', 'Records that a failure of the breaker component lost.', lost],
    ['events_dropped', 'Events that nobody was told of.', overall.eventsDropped],
  ];
  for (const [name, help, count] of plain) {
    text.begin(name, 'counter', help);
    text.sample(`${name}_total`, [], count);
  }
  text.begin('scorer_failures', 'counter', 'Scorers that gave no score.');
  for (const tally of tallies) {
    for (const [scorer, { failures }] of tally.scorers) {
      for (const [reason, count] of failures) {
        text.sample(
          'scorer_failures_total',
          [
            ['breaker', tally.name],
            ['scorer', scorer],
            ['reason', reason],
          ],
          count,
        );
      }
    }
  }
  text.begin('scorer_dropped', 'counter', 'Answers that were not scored.');
  for (const tally of tallies) {
    for (const [scorer, { dropped }] of tally.scorers) {
      if (dropped > 0)
        text.sample(
          'scorer_dropped_total',
          [
            ['breaker', tally.name],
            ['scorer', scorer],
          ],
          dropped,
        );
    }
  }
  text.lines.push('# EOF');
  return `${text.lines.join('\n')}\n`;
}
