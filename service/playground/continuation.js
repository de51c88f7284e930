// A translation that goes on differently from one token on, to the end of that token's sentence.

import { pieceText } from "./alignment.js";

export class Continuation {
  #kept;
  #after;
  #number;

  /** `tokens` are all of a translation, `token` the one of them that `piece` takes the place of. */
  constructor(tokens, token, piece) {
    const at = tokens.indexOf(token);
    const isOfSentence = (each) => each.sentence_index === token.sentence_index;
    const lead = /^\s*/u.exec(token.text)[0];
    this.#number = token.sentence_index;
    this.#kept = [...tokens.slice(0, at), { ...token, text: lead + pieceText(piece).trimStart() }];
    this.#after = tokens.slice(at).filter((each) => !isOfSentence(each));
    this.prefix = this.#kept.filter(isOfSentence).map((each) => each.text).join("").trimStart();
  }

  /** All tokens, with those of the sentence's new stream, whose first delta begins with the prefix. */
  with(rest) {
    const goingOn = rest.map((token, index) => ({
      ...token, sentence_index: this.#number, text: index ? token.text : token.text.slice(this.prefix.length),
    }));
    return [...this.#kept, ...goingOn, ...this.#after];
  }
}
