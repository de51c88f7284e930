// "See inside": one sentence as POST /v1/explain shows it, step by step.

import { sendForJson } from "./api.js";
import { attentionRows, heatmap, maskTriangle, probabilityBars } from "./charts.js";
import { byId } from "./dom.js";
import { isSpecial, pieceText } from "./alignment.js";
import { word } from "./words.js";

const MAX_TOKENS = 64;
const STEP_MILLISECONDS = 700;
const show = (token) => (isSpecial(token) ? token : pieceText(token).trim() || "␣");

export class Inside {
  #charts = [];
  #explanation = null;
  #timer = null;
  #abort = null;
  #key = "";

  constructor() {
    this.panel = byId("inside");
    this.slider = byId("step");
    this.slider.addEventListener("input", () => { this.stop(); this.select(Number(this.slider.value)); });
    byId("play").addEventListener("click", () => (this.#timer ? this.stop() : this.play()));
  }

  /** `source` is {text, source_lang, target_lang} of one sentence, or null. */
  async explain(source) {
    const key = JSON.stringify(source);
    if (!this.panel.open || key === this.#key) return;
    this.#abort?.abort();
    this.#abort = new AbortController();
    this.#key = key;
    this.stop();
    if (!source) return this.#say(word("insideNote"));
    byId("explained").textContent = source.text;
    byId("explained").lang = source.source_lang;
    try {
      const body = { ...source, k: 6 };
      this.#draw(await sendForJson("v1/explain", { body, signal: this.#abort.signal }), source);
    } catch (problem) {
      if (problem.name === "AbortError") return;
      this.#key = "";
      this.#say(problem.message);
    }
  }

  /** Draw again in another language of the page. */
  redraw() {
    byId("play").textContent = word(this.#timer ? "pause" : "play");
    if (this.#explanation) this.#draw(this.#explanation.answer, this.#explanation.source);
  }

  #say(text) {
    this.#explanation = null;
    byId("inside-note").textContent = text;
    byId("inside-note").hidden = false;
    byId("inside-charts").hidden = true;
  }

  #draw(answer, source) {
    const { source_tokens, target_tokens, decoder_prompt, steps, causal_mask } = answer;
    if (Math.max(source_tokens.length, target_tokens.length) > MAX_TOKENS) return this.#say(word("insideLong"));
    this.#explanation = { answer, source };
    const shared = {
      source: source_tokens.map(show), target: target_tokens.map(show), weights: answer.cross_attention.weights,
      onStep: (step) => { this.stop(); this.select(step); },
    };
    const inputs = [...decoder_prompt, ...target_tokens.slice(0, -1)].map(show);
    const charts = {
      rows: attentionRows({ ...shared, label: word("attentionTitle") }),
      heatmap: heatmap({ ...shared, label: word("heatmapTitle") }),
      bars: probabilityBars({ steps, show, label: word("barsTitle") }),
      mask: maskTriangle({
        mask: causal_mask, inputs, label: word("maskTitle"), row: (step) => decoder_prompt.length - 1 + step,
      }),
    };
    for (const [id, chart] of Object.entries(charts)) byId(id).replaceChildren(chart.root);
    this.#charts = Object.values(charts);
    byId("inside-note").hidden = true;
    byId("inside-charts").hidden = false;
    byId("so-far").lang = source.target_lang;
    this.slider.max = steps.length - 1;
    this.select(0);
  }

  select(step) {
    const tokens = this.#explanation.answer.target_tokens;
    this.slider.value = step;
    byId("step-number").textContent = `${step + 1} / ${tokens.length}`;
    const before = tokens.slice(0, step).filter((each) => !isSpecial(each)).map(pieceText).join("").trimStart();
    const now = document.createElement("b");
    now.textContent = isSpecial(tokens[step]) ? " " + tokens[step] : pieceText(tokens[step]);
    byId("so-far").replaceChildren(before, now);
    for (const chart of this.#charts) chart.select(step);
  }

  play() {
    const last = Number(this.slider.max);
    if (Number(this.slider.value) === last) this.select(0);
    this.#timer = setInterval(() => {
      const step = Number(this.slider.value) + 1;
      if (step <= last) this.select(step);
      if (step >= last) this.stop();
    }, STEP_MILLISECONDS);
    byId("play").textContent = word("pause");
  }

  stop() {
    clearInterval(this.#timer);
    this.#timer = null;
    byId("play").textContent = word("play");
  }
}
