// The words of the source and of each target, and which of them light up when the user points at one.

import { link, sentenceRanges, sourceWords } from "./alignment.js";

export class Counterparts {
  #editor;
  #words = [];

  constructor(editor) {
    this.#editor = editor;
  }

  clear() {
    this.#words = [];
  }

  /** The texts of the source's sentences; none before a translation was shown as words. */
  sentences() {
    const { text } = this.#editor;
    return sentenceRanges(this.#words, text).map(({ start, end }) => text.slice(start, end).trim());
  }

  /** Show a translation as words, and link them to those of the source. */
  show(pane, translation, tokens) {
    pane.showWords(translation, tokens);
    pane.links = null;
    pane.isDirect = !translation.pivot_lang;
    if (!pane.isDirect) return;
    // The answer to a continued sentence lacks the source tokens of the other sentences, so keep the words found before.
    if (!this.#words.length) {
      this.#words = sourceWords(this.#editor.text, translation.source_tokens);
      this.#editor.showWords(this.#words);
    }
    pane.links = link(pane.words, this.#words);
  }

  pointAtTarget(pane, index) {
    const sentence = index === null ? null : pane.words[index].sentence;
    const linked = pane.links?.ofTarget[index] ?? new Set();
    this.#light(this.#editor, this.#words, sentence, (each) => linked.has(each));
    this.#light(pane, pane.words, sentence, (each) => each === index);
  }

  pointAtSource(panes, index) {
    const sentence = index === null ? null : this.#words[index].sentence;
    this.#light(this.#editor, this.#words, sentence, (each) => each === index);
    for (const pane of panes.filter(({ spans }) => spans.length)) {
      const linked = pane.links?.ofSource[index] ?? new Set();
      this.#light(pane, pane.words, sentence, (each) => linked.has(each));
    }
  }

  #light(side, words, sentence, isLit) {
    side.light(isLit, (each) => sentence !== null && words[each].sentence === sentence);
  }
}
