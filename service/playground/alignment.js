// Finds the words of source and target, and links them by the cross-attention of their tokens.

const SPECIAL = /^(<.*>|__.+__|[a-z]{3}_[A-Z][a-z]{3}|[a-z]{2}_[A-Z]{2}|>>.+<<)$/;
const NO_SPACES = /[\p{sc=Han}\p{sc=Hira}\p{sc=Kana}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmr}]/u;
const MAX_GAP = 12;
const MAX_SENTENCE_GAP = 400;
const SHARE = 0.5;

export const isSpecial = (token) => SPECIAL.test(token);

/** A vocabulary's piece as text: SentencePiece writes a space as ▁. */
export const pieceText = (piece) => piece.replaceAll("▁", " ");

/**
 * The words of the source: {start, end, sentence, tokens}, where `tokens` are indices into its sentence's tokens.
 * Pieces that the tokenizer normalized away from the text are skipped.
 */
export function sourceWords(text, sentences) {
  const words = [];
  let at = 0;
  sentences.forEach((pieces, sentence) => {
    let isFirst = true;
    pieces.forEach((piece, index) => {
      const shown = pieceText(piece).trim();
      if (!shown || isSpecial(piece)) return;
      const start = text.indexOf(shown, at);
      if (start < 0 || start - at > (isFirst ? MAX_SENTENCE_GAP : MAX_GAP)) return;
      const last = words.at(-1);
      const goesOn = last?.sentence === sentence && last.end === start && !NO_SPACES.test(shown);
      if (goesOn) {
        last.tokens.push(index);
        last.end = start + shown.length;
      } else words.push({ start, end: start + shown.length, sentence, tokens: [index] });
      at = start + shown.length;
      isFirst = false;
    });
  });
  return words;
}

/** The words of the target: {text, lead, sentence, tokens}, where `tokens` are token events; `lead` is the space before. */
export function targetWords(tokens) {
  const words = [];
  for (const token of tokens) {
    const [, lead, shown] = /^(\s*)(.*)$/su.exec(token.text);
    const last = words.at(-1);
    const goesOn = last && !lead && last.sentence === token.sentence_index && !NO_SPACES.test(shown);
    if (goesOn) {
      last.text += shown;
      last.tokens.push(token);
    } else if (shown) words.push({ lead, text: shown, sentence: token.sentence_index, tokens: [token] });
    else if (lead) words.push({ lead, text: "", sentence: token.sentence_index, tokens: [] });
  }
  return words;
}

/**
 * Link the words that belong together: `ofTarget[i]` and `ofSource[j]` are sets of indices into the other side's words.
 *
 * Some tokens, such as a full stop, get a share of every token's attention. So a weight's score is its share of its
 * target word's weights times its share of its source word's weights.
 */
export function link(words, sources) {
  const links = { ofTarget: [], ofSource: [] };
  const [bySentence, sourcesBySentence] = [words, sources].map((all) => indicesBySentence(all));
  for (const [sentence, rows] of bySentence) {
    const columns = sourcesBySentence.get(sentence) ?? [];
    const scores = scoresOf(rows.map((i) => columns.map((j) => weightOf(words[i], sources[j]))));
    rows.forEach((i, row) => (links.ofTarget[i] = strongest(scores[row], columns)));
    columns.forEach((j, column) => (links.ofSource[j] = strongest(scores.map((row) => row[column]), rows)));
  }
  return links;
}

function indicesBySentence(words) {
  const indices = new Map();
  words.forEach(({ sentence }, index) => {
    if (!indices.has(sentence)) indices.set(sentence, []);
    indices.get(sentence).push(index);
  });
  return indices;
}

function scoresOf(weights) {
  const sum = (values) => values.reduce((total, each) => total + each, 0);
  const ofRows = weights.map(sum);
  const ofColumns = weights[0].map((_, j) => sum(weights.map((row) => row[j])));
  return weights.map((row, i) => row.map((weight, j) => (weight ? (weight / ofRows[i]) * (weight / ofColumns[j]) : 0)));
}

function strongest(scores, indices) {
  const least = SHARE * Math.max(...scores);
  return new Set(indices.filter((_, at) => scores[at] > 0 && scores[at] >= least));
}

function weightOf(word, source) {
  let weight = 0;
  for (const { alignment } of word.tokens) {
    if (alignment) for (const index of source.tokens) weight += alignment[index] ?? 0;
  }
  return weight;
}

/** The source's sentences as {start, end}: a sentence reaches from its first word to that of the next sentence. */
export function sentenceRanges(words, text) {
  const ranges = [];
  for (const { start, sentence } of words) ranges[sentence] ??= { start };
  const found = ranges.filter(Boolean);
  found.forEach((range, index) => (range.end = found[index + 1]?.start ?? text.length));
  return ranges;
}
