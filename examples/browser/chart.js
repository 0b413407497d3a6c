// Draws the last seconds on a canvas: bands for the state, dots for answers, a line for their mean, ticks for refusals.

const SPAN_MS = 30_000;
/** Points that are kept: more than 30 s at the fastest. */
const POINTS_MAX = 4000;
const MARGIN = { left: 40, right: 12, top: 10, bottom: 42 };
const BANDS = { closed: '--closed', open: '--open', 'forced-open': '--open', 'half-open': '--half' };

/** A chart on a canvas. */
export class Chart {
  #canvas;
  #context;
  #points = [];
  #means = [];
  #states = [{ at: 0, state: 'closed' }];
  #limit;
  #colours = new Map();
  #coloursUntil = 0;

  constructor(canvas) {
    this.#canvas = canvas;
    this.#context = canvas.getContext('2d');
  }

  #add(point) {
    this.#points.push(point);
    if (this.#points.length > POINTS_MAX) this.#points.shift();
  }

  answered(at, score, probe) {
    this.#add({ kind: probe ? 'probe' : 'answer', at, score });
  }

  failed(at) {
    this.#add({ kind: 'failed', at });
  }

  refused(at) {
    this.#add({ kind: 'refused', at });
  }

  changed(at, state) {
    this.#states.push({ at, state });
  }

  mean(at, value, limit) {
    this.#limit = limit;
    this.#means.push({ at, value });
  }

  draw(now) {
    const { width, height } = this.#fit();
    const context = this.#context;
    const colour = (name) => this.#colour(name, now);
    this.#forget(now - SPAN_MS - 1000);
    const right = width - MARGIN.right;
    const bottom = height - MARGIN.bottom;
    const x = (at) => right - ((now - at) / SPAN_MS) * (right - MARGIN.left);
    const y = (score) => bottom - score * (bottom - MARGIN.top);
    context.clearRect(0, 0, width, height);
    this.#bands(now, x, bottom, colour);
    this.#axes({ right, bottom, x, y, now }, colour);
    context.save();
    context.beginPath();
    context.rect(MARGIN.left, 0, right - MARGIN.left + 6, height);
    context.clip();
    this.#dots(x, y, bottom, colour);
    this.#line(x, y, colour);
    context.restore();
  }

  /** A colour of the page's style as it is now, by day or by night: asked for once a second. */
  #colour(name, now) {
    if (now > this.#coloursUntil) {
      this.#colours.clear();
      this.#coloursUntil = now + 1000;
    }
    let found = this.#colours.get(name);
    if (found === undefined) {
      this.#canvas.style.color = `var(${name})`;
      found = getComputedStyle(this.#canvas).color;
      this.#colours.set(name, found);
    }
    return found;
  }

  /** As many pixels as the screen has. */
  #fit() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const ratio = window.devicePixelRatio || 1;
    if (this.#canvas.width !== Math.round(width * ratio) || this.#canvas.height !== Math.round(height * ratio)) {
      this.#canvas.width = Math.round(width * ratio);
      this.#canvas.height = Math.round(height * ratio);
    }
    this.#context.setTransform(ratio, 0, 0, ratio, 0, 0);
    return { width, height };
  }

  #forget(before) {
    while (this.#points.length > 0 && this.#points[0].at < before) this.#points.shift();
    while (this.#means.length > 0 && this.#means[0].at < before) this.#means.shift();
    while (this.#states.length > 1 && this.#states[1].at < before) this.#states.shift();
  }

  #bands(now, x, bottom, colour) {
    const context = this.#context;
    this.#states.forEach(({ at, state }, place) => {
      const from = Math.max(MARGIN.left, x(at));
      const to = x(this.#states[place + 1]?.at ?? now);
      if (to <= MARGIN.left) return;
      context.fillStyle = colour(BANDS[state] ?? '--other');
      context.globalAlpha = 0.13;
      context.fillRect(from, MARGIN.top, to - from, bottom - MARGIN.top);
      context.globalAlpha = 1;
      context.fillRect(from, bottom, to - from, 4);
    });
  }

  #axes({ right, bottom, x, y, now }, colour) {
    const context = this.#context;
    context.font = '12px system-ui, sans-serif';
    context.fillStyle = colour('--soft');
    context.strokeStyle = colour('--rule');
    context.lineWidth = 1;
    context.textBaseline = 'middle';
    context.textAlign = 'right';
    for (const score of [0, 0.25, 0.5, 0.75, 1]) {
      context.beginPath();
      context.moveTo(MARGIN.left, y(score));
      context.lineTo(right, y(score));
      context.stroke();
      context.fillText(score.toFixed(2), MARGIN.left - 8, y(score));
    }
    context.textAlign = 'center';
    for (let seconds = 0; seconds <= SPAN_MS / 1000; seconds += 5) {
      const place = x(now - seconds * 1000);
      context.fillText(seconds === 0 ? 'now' : `-${seconds} s`, Math.min(place, right - 10), bottom + 30);
    }
    if (this.#limit === undefined) return;
    context.setLineDash([5, 5]);
    context.strokeStyle = colour('--soft');
    context.lineWidth = 1.5;
    context.beginPath();
    context.moveTo(MARGIN.left, y(this.#limit));
    context.lineTo(right, y(this.#limit));
    context.stroke();
    context.setLineDash([]);
  }

  #dots(x, y, bottom, colour) {
    const context = this.#context;
    for (const { kind, at, score } of this.#points) {
      const place = x(at);
      if (kind === 'refused') {
        context.fillStyle = colour('--open');
        context.fillRect(place - 0.75, bottom + 8, 1.5, 11);
        continue;
      }
      context.beginPath();
      context.arc(place, kind === 'failed' ? y(0) - 5 : y(score), kind === 'probe' ? 4.5 : 2.8, 0, 2 * Math.PI);
      if (kind === 'failed') {
        context.strokeStyle = colour('--open');
        context.lineWidth = 1.6;
        context.stroke();
      } else {
        context.fillStyle = colour(kind === 'probe' ? '--half' : '--answer');
        context.globalAlpha = kind === 'probe' ? 1 : 0.7;
        context.fill();
        context.globalAlpha = 1;
      }
    }
  }

  #line(x, y, colour) {
    const context = this.#context;
    context.strokeStyle = colour('--ink');
    context.lineWidth = 2;
    context.lineJoin = 'round';
    context.beginPath();
    let drawing = false;
    for (const { at, value } of this.#means) {
      if (value === undefined) drawing = false;
      else if (drawing) context.lineTo(x(at), y(Math.min(1, Math.max(0, value))));
      else {
        context.moveTo(x(at), y(Math.min(1, Math.max(0, value))));
        drawing = true;
      }
    }
    context.stroke();
  }
}
