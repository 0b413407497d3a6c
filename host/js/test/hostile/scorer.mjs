// A scorer that does what its configuration says: all that a scorer shouldn't.

let mode = 'fine';
let scored = 0;

/** What the mode says to do instead of scoring. */
function mischief() {
  switch (mode) {
    case 'loop':
      for (;;);
    case 'eat': {
      const eaten = [];
      for (;;) eaten.push(new Uint8Array(1 << 20).fill(1));
    }
    case 'recurse': {
      const deeper = () => deeper() + 1;
      return { tag: 'score', val: deeper() };
    }
    case 'throw':
      throw new Error('on purpose');
    case 'malformed':
      throw { tag: 'malformed', val: 'not my form' };
    case 'NaN':
      return { tag: 'score', val: NaN };
    case 'huge':
      return { tag: 'score', val: 1e7 };
    case 'text':
      return { tag: 'abstain', val: 'x'.repeat(1 << 20) };
    case 'clock':
      return { tag: 'score', val: Date.now() > 0 ? 0.75 : 0.25 };
    case 'reach':
      return { tag: 'score', val: typeof process === 'undefined' && typeof require === 'undefined' ? 1 : 0 };
    case 'count':
      return { tag: 'score', val: scored };
    default:
      return { tag: 'score', val: 1 };
  }
}

export const scorer = {
  configure(config) {
    if (config === 'loop at start') for (;;);
    if (config === 'refuse') throw [{ key: 'mode', message: 'this one is refused' }];
    mode = config;
  },

  score({ answer }) {
    scored += 1;
    const text = new TextDecoder().decode(answer.bytes);
    if (text === 'fine') return { tag: 'score', val: 0.5 };
    return mischief();
  },
};

class Answer {
  text = '';

  constructor() {
    if (mode === 'loop at begin') for (;;);
  }

  push(piece) {
    this.text += new TextDecoder().decode(piece);
    return this.text.endsWith('x') ? mischief() : undefined;
  }

  finish() {
    return this.text === 'fine' ? { tag: 'score', val: 0.5 } : mischief();
  }
}

export const streaming = { Answer };
