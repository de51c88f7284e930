// One target language: its translation as it streams in, then as words that can be pointed at and clicked.

import { element, option, copy, moveFocus } from "./dom.js";
import { label, languageName, word } from "./words.js";
import { targetWords } from "./alignment.js";

export class TargetPane extends EventTarget {
  #waiting = "";
  #isDue = false;

  constructor(lang) {
    super();
    this.lang = lang;
    this.tokens = [];
    this.spans = [];
    this.select = element("select");
    this.copyButton = element("button", { type: "button" });
    this.removeButton = element("button", { type: "button", className: "icon", textContent: "✕" });
    this.output = element("div", { className: "output", dir: "auto" });
    this.hypotheses = element("ol", { className: "hypotheses" });
    this.root = element("div", { className: "pane target" },
      element("div", { className: "pane-bar" }, element("label", {}, this.select),
        element("span", { className: "grow" }), this.copyButton, this.removeButton),
      this.output, this.hypotheses);
    this.select.addEventListener("change", () => this.#emit("language", this.select.value));
    this.removeButton.addEventListener("click", () => this.#emit("remove"));
    this.copyButton.addEventListener("click", () => copy(this.text, this.copyButton, word("copied")));
    this.output.addEventListener("pointerover", (event) => this.#point(event.target));
    this.output.addEventListener("pointerleave", () => this.#emit("point", null));
    this.output.addEventListener("focusin", (event) => this.#point(event.target));
    this.output.addEventListener("focusout", () => this.#emit("point", null));
    this.output.addEventListener("click", (event) => this.#choose(event.target));
    this.output.addEventListener("keydown", (event) => this.#onKey(event));
  }

  /** Offer `codes`, and update all labels. */
  offer(codes, { isOnly }) {
    this.select.replaceChildren(...codes.map((code) => option(code, languageName(code))));
    this.select.value = this.lang;
    this.select.ariaLabel = word("targetLanguage");
    this.removeButton.hidden = isOnly;
    label(this.removeButton, word("removeTarget", languageName(this.lang)));
    this.copyButton.textContent = word("copy");
    this.output.lang = this.lang;
  }

  get text() {
    return this.translation?.text ?? this.output.textContent;
  }

  /** Keep the old text, in grey, until the new translation begins. */
  expect() {
    this.tokens = [];
    this.spans = [];
    this.#waiting = "";
    this.translation = null;
    this.output.classList.add("waiting");
  }

  clear() {
    this.expect();
    this.output.replaceChildren();
    this.hypotheses.replaceChildren();
  }

  /** Add a token's text. All texts that arrive before the next frame are shown with it. */
  append(delta) {
    this.#waiting += delta;
    if (this.#isDue) return;
    this.#isDue = true;
    requestAnimationFrame(() => this.#flush());
  }

  #flush() {
    this.#isDue = false;
    if (!this.#waiting) return;
    if (this.output.classList.contains("waiting")) this.output.replaceChildren();
    this.output.classList.remove("waiting");
    this.output.append(this.#waiting);
    this.output.normalize();
    this.#waiting = "";
  }

  finish(translation) {
    this.#waiting = "";
    this.translation = translation;
    this.output.classList.remove("waiting");
    this.output.textContent = translation.text;
    const others = translation.hypotheses.slice(1);
    this.hypotheses.replaceChildren(...others.map(({ text }) => element("li", { textContent: text, dir: "auto" })));
  }

  /** Show the translation as words; `tokens` are the events of its stream. */
  showWords(translation, tokens) {
    this.finish(translation);
    this.tokens = tokens;
    this.words = targetWords(tokens);
    this.spans = [];
    const parts = [];
    this.words.forEach((each, index) => {
      const span = element("span", { className: "word", textContent: each.text, tabIndex: index ? -1 : 0, role: "button" });
      span.dataset.index = index;
      this.spans.push(span);
      parts.push(each.lead, span);
    });
    this.output.replaceChildren(...parts);
  }

  light(isLit, isInSentence) {
    this.spans.forEach((span, index) => {
      span.classList.toggle("lit", isLit(index));
      span.classList.toggle("lit-sentence", isInSentence(index));
    });
  }

  #indexOf(target) {
    return target.dataset?.index === undefined ? null : Number(target.dataset.index);
  }

  #point(target) {
    this.#emit("point", this.#indexOf(target));
  }

  #choose(target) {
    const index = this.#indexOf(target);
    if (index !== null) this.#emit("choose", index);
  }

  #onKey(event) {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      this.#choose(event.target);
    } else moveFocus(event, this.spans);
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}
