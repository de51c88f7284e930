// The source text. A mirror behind the textarea gives the textarea its height, and contains the highlighted words.

import { byId, countCharacters, element } from "./dom.js";
import { word } from "./words.js";

const MAX_CHARACTERS = Number(document.documentElement.dataset.maxCharacters);

export class Editor extends EventTarget {
  #spans = [];
  #isDue = false;

  constructor() {
    super();
    this.area = byId("text");
    this.mirror = byId("mirror");
    this.area.addEventListener("input", () => { this.refresh(); this.dispatchEvent(new Event("edit")); });
    this.area.addEventListener("pointermove", (event) => this.#point(event));
    this.area.addEventListener("pointerleave", () => this.#emit(null));
  }

  get text() {
    return this.area.value;
  }

  set text(text) {
    this.area.value = text;
    this.refresh();
  }

  get isOver() {
    return countCharacters(this.text) > MAX_CHARACTERS;
  }

  /** Update mirror and counter after a change of the text or of the page's language. */
  refresh() {
    this.#spans = [];
    this.mirror.textContent = this.text + "\n";
    this.mirror.dir = "auto";
    const left = MAX_CHARACTERS - countCharacters(this.text);
    const name = left < 0 ? "charactersOver" : "charactersLeft";
    byId("left").textContent = word(name, Math.abs(left).toLocaleString(document.documentElement.lang));
    byId("left").classList.toggle("over", left < 0);
  }

  /** Put `words`, which have `start` and `end` in the text, into the mirror. */
  showWords(words) {
    const parts = [];
    let at = 0;
    this.#spans = words.map(({ start, end }, index) => {
      const span = element("span", { textContent: this.text.slice(start, end) });
      span.dataset.index = index;
      parts.push(this.text.slice(at, start), span);
      at = end;
      return span;
    });
    this.mirror.replaceChildren(...parts, this.text.slice(at) + "\n");
  }

  light(isLit, isInSentence) {
    this.#spans.forEach((span, index) => {
      span.classList.toggle("lit", isLit(index));
      span.classList.toggle("lit-sentence", isInSentence(index));
    });
  }

  #point({ clientX, clientY }) {
    if (this.#isDue || !this.#spans.length) return;
    this.#isDue = true;
    requestAnimationFrame(() => {
      this.#isDue = false;
      const span = document.elementsFromPoint(clientX, clientY).find((each) => each.parentElement === this.mirror);
      this.#emit(span ? Number(span.dataset.index) : null);
    });
  }

  #emit(detail) {
    this.dispatchEvent(new CustomEvent("point", { detail }));
  }
}
