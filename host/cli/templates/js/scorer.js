// Scores answers by how many words they have: a beginning, to be replaced by your own idea of a good answer.

/** Words of a whole answer, where the configuration says nothing else. */
const WORDS_DEFAULT = 20;

let wordsWanted = WORDS_DEFAULT;

export const scorer = {
  configure(config) {
    const text = config.trim();
    if (text !== '' && !/^[1-9][0-9]{0,8}$/.test(text)) throw [{ key: '', message: `\`${text}\` is none: a number of words is wanted, as in 20` }];
    wordsWanted = text === '' ? WORDS_DEFAULT : Number(text);
  },

  score({ answer }) {
    const type = answer.contentType;
    if (type !== '' && !type.startsWith('text/')) return { tag: 'abstain', val: `an answer of the type ${type} has no words` };
    const words = new TextDecoder().decode(answer.bytes).match(/\S+/g) ?? [];
    return { tag: 'score', val: Math.min(1, words.length / wordsWanted) };
  },
};
