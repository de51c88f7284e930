// The drawer of options: the fields of a request that they set.

import { byId } from "./dom.js";

/** What stands between a term and its translation in a line of the glossary. */
const BETWEEN = /\s*(?:=|→|\t)\s*/u;

export class Options extends EventTarget {
  constructor() {
    super();
    byId("options").addEventListener("input", () => this.dispatchEvent(new Event("change")));
  }

  /** The fields for a request into `numTargets` languages; a glossary is for one language only. */
  fields(numTargets) {
    const fields = {};
    const [beamSize, numHypotheses, temperature] = ["beam-size", "num-hypotheses", "temperature"].map((id) => byId(id).valueAsNumber || 0);
    if (beamSize > 1) fields.beam_size = beamSize;
    if (numHypotheses > 1) fields.num_hypotheses = Math.min(numHypotheses, Math.max(1, beamSize));
    // With a seed the second request, for the alignment, draws the same text.
    if (temperature > 0 && beamSize <= 1) Object.assign(fields, { temperature, seed: Math.floor(Math.random() * 2 ** 31) });
    const glossary = glossaryOf(byId("glossary").value);
    if (glossary && numTargets === 1) fields.glossary = glossary;
    return fields;
  }
}

/** The terms of lines `term = translation`, or null. Lines that lack one of the two, being typed, are passed over. */
function glossaryOf(text) {
  const terms = text.split("\n").map((line) => line.trim().split(BETWEEN));
  const whole = terms.filter(([term, translation]) => term && translation);
  return whole.length ? Object.fromEntries(whole.map(([term, translation]) => [term, translation])) : null;
}
