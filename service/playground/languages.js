// The chosen languages, among those that the server offers.

import { byId, option } from "./dom.js";
import { languageName, word } from "./words.js";

export const AUTO = "auto";

export class Languages {
  #served = [];

  constructor(chosen) {
    this.source = chosen?.source ?? AUTO;
    this.targets = chosen?.targets ?? ["de"];
    this.select = byId("source-language");
  }

  /** Take the languages of /v1/languages. A chosen language that is not among them is replaced. */
  serve(served) {
    this.#served = served;
    if (this.source !== AUTO && !this.#entry(this.source)) this.source = AUTO;
    this.settle();
  }

  /** Replace targets that cannot be reached from the source. */
  settle() {
    const offered = this.offered();
    const kept = [...new Set(this.targets)].filter((code) => offered.includes(code));
    this.targets = kept.length ? kept : offered.slice(0, 1);
  }

  offered() {
    if (!this.#served.length) return this.targets;
    const all = new Set(this.#served.flatMap((each) => each.targets));
    return this.source === AUTO ? [...all] : this.#entry(this.source).targets;
  }

  show() {
    const codes = this.#served.length ? this.#served.map((each) => each.code) : [this.source].filter((code) => code !== AUTO);
    this.select.replaceChildren(option(AUTO, word("detect")), ...codes.map((code) => option(code, this.name(code))));
    this.select.value = this.source;
  }

  name(code) {
    return languageName(code, this.#entry(code)?.name);
  }

  #entry(code) {
    return this.#served.find((each) => each.code === code);
  }
}
