// A translation in which one sentence continues differently from a chosen token on.

import { pieceText } from "./alignment.js";

export class Continuation {
  #kept;
  #after;
  #number;

  /** `tokens` are all tokens of a translation; `piece` replaces `token`, one of them. */
  constructor(tokens, token, piece) {
    const at = tokens.indexOf(token);
    const isOfSentence = (each) => each.sentence_index === token.sentence_index;
    const lead = /^\s*/u.exec(token.text)[0];
    this.#number = token.sentence_index;
    this.#kept = [...tokens.slice(0, at), { ...token, text: lead + pieceText(piece).trimStart() }];
    this.#after = tokens.slice(at).filter((each) => !isOfSentence(each));
    this.prefix = this.#kept.filter(isOfSentence).map((each) => each.text).join("").trimStart();
  }

  /** All tokens, with `rest` from the sentence's new stream, whose first delta begins with the prefix. */
  with(rest) {
    const goingOn = rest.map((token, index) => ({
      ...token, sentence_index: this.#number, text: index ? token.text : token.text.slice(this.prefix.length),
    }));
    return [...this.#kept, ...goingOn, ...this.#after];
  }
}
