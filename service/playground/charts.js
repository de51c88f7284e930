// Charts of an explanation, in SVG. Every chart returns its element and `select(step)`, which redraws it for a step.

import { svg } from "./dom.js";

const measure = document.createElement("canvas").getContext("2d");
measure.font = "bold 13px system-ui, sans-serif"; // the font of the chosen token, which is the widest

const width = (text) => measure.measureText(text).width;
const clip = (text, most = 18) => (text.length > most ? text.slice(0, most - 1) + "…" : text);

function figure(w, h, label) {
  return svg("svg", { viewBox: `0 0 ${w} ${h}`, width: w, height: h, role: "img", "aria-label": label });
}

/** Source tokens above, target tokens below, and lines between them whose thickness is the weight. */
export function attentionRows({ source, target, weights, label, onStep }) {
  const gap = 14, top = 22, bottom = 150;
  const place = (tokens) => {
    let x = gap;
    return tokens.map((token) => {
      const w = width(clip(token)) + 6;
      const middle = x + w / 2;
      x += w + gap;
      return { token, w, middle };
    });
  };
  const above = place(source), below = place(target);
  const total = (row) => (row.length ? row.at(-1).middle + row.at(-1).w / 2 + gap : 0);
  const whole = Math.max(total(above), total(below));
  for (const row of [above, below]) {
    const shift = (whole - total(row)) / 2;
    for (const each of row) each.middle += shift;
  }
  const root = figure(whole, bottom + 24, label);
  const beams = svg("g");
  const text = ({ token, middle }, y) =>
    svg("text", { x: middle, y, "text-anchor": "middle" }, svg("title", {}, token), clip(token));
  const names = below.map((each) => text(each, bottom + 8));
  const sources = above.map((each) => text(each, top - 6));
  const hits = below.map((each, step) => {
    const hit = svg("rect", { class: "hit", x: each.middle - each.w / 2 - 4, y: bottom - 12, width: each.w + 8, height: 30 });
    hit.addEventListener("pointerenter", () => onStep(step));
    return hit;
  });
  root.append(beams, ...sources, ...names, ...hits);
  return {
    root,
    select(step) {
      names.forEach((each, index) => each.classList.toggle("now", index === step));
      const row = weights[step] ?? [];
      beams.replaceChildren(...row.map((weight, index) => svg("path", {
        class: "beam", "stroke-width": (1 + 7 * weight).toFixed(2), "stroke-opacity": Math.min(1, 0.06 + weight).toFixed(3),
        d: curve(above[index].middle, top, below[step].middle, bottom - 8),
      })));
      sources.forEach((each, index) => each.setAttribute("opacity", (0.45 + 0.55 * Math.min(1, 2 * (row[index] ?? 0))).toFixed(2)));
    },
  };
}

function curve(x0, y0, x1, y1) {
  const middle = (y0 + y1) / 2;
  return `M${x0} ${y0}C${x0} ${middle} ${x1} ${middle} ${x1} ${y1}`;
}

export function heatmap({ source, target, weights, label, onStep }) {
  const side = 20, left = Math.max(...target.map((each) => width(clip(each, 14)))) + 10;
  const top = Math.max(...source.map((each) => width(clip(each, 14)))) * 0.72 + 22;
  const right = 60;
  const root = figure(left + side * source.length + right, top + side * target.length + 4, label);
  source.forEach((token, index) => {
    const x = left + side * (index + 0.6), y = top - 8;
    root.append(svg("text", { x, y, transform: `rotate(-45 ${x} ${y})` }, svg("title", {}, token), clip(token, 14)));
  });
  const names = target.map((token, step) => svg("text", { x: left - 6, y: top + side * (step + 0.7), "text-anchor": "end" }, clip(token, 14)));
  root.append(...names, svg("rect", { class: "ground", x: left, y: top, width: side * source.length, height: side * target.length }));
  weights.forEach((row, step) => row.forEach((weight, index) => {
    if (weight < 0.01) return;
    root.append(svg("rect", {
      class: "cell", x: left + side * index + 1, y: top + side * step + 1, width: side - 2, height: side - 2,
      "fill-opacity": Math.min(1, weight).toFixed(3),
    }, svg("title", {}, `${target[step]} → ${source[index]}: ${(100 * weight).toFixed(1)} %`)));
  }));
  const frame = svg("rect", { class: "frame", x: left, width: side * source.length, height: side, rx: 3 });
  root.append(frame);
  root.addEventListener("pointermove", (event) => {
    const { top: edge, height } = root.getBoundingClientRect();
    const y = ((event.clientY - edge) / height) * root.viewBox.baseVal.height;
    const step = Math.floor((y - top) / side);
    if (step >= 0 && step < target.length) onStep(step);
  });
  return {
    root,
    select(step) {
      frame.setAttribute("y", top + side * step);
      names.forEach((each, index) => each.classList.toggle("now", index === step));
    },
  };
}

/** The most probable tokens of a step. */
export function probabilityBars({ steps, label, show }) {
  const rows = Math.max(...steps.map((step) => step.top_tokens.length));
  const root = figure(360, rows * 30 + 4, label);
  root.setAttribute("width", "100%");
  root.removeAttribute("height");
  root.setAttribute("class", "bars");
  return {
    root,
    select(step) {
      const { top_tokens: tokens, token_id: chosen } = steps[step];
      root.replaceChildren(...tokens.flatMap((each, index) => {
        const y = index * 30 + 4;
        return [
          svg("text", { x: 104, y: y + 16, "text-anchor": "end", ...(each.token_id === chosen && { class: "now" }) }, clip(show(each.token), 14)),
          svg("rect", { class: "ground", x: 112, y, width: 190, height: 22, rx: 4 }),
          svg("rect", { class: each.token_id === chosen ? "bar chosen" : "bar", x: 112, y, width: Math.max(1, 190 * each.probability), height: 22, rx: 4 }),
          svg("text", { x: 356, y: y + 16, "text-anchor": "end", class: "soft" }, `${(100 * each.probability).toFixed(1)} %`),
        ];
      }));
    },
  };
}

/** The mask M, filled where a position may be seen. `inputs` names the positions. */
export function maskTriangle({ mask, inputs, label, row }) {
  const matrix = Array.isArray(mask[0][0]) ? mask[0] : mask;
  const size = matrix.length, side = Math.max(8, Math.min(20, Math.floor(280 / size)));
  const isNamed = side >= 14;
  const left = isNamed ? Math.max(...inputs.map((each) => width(clip(each, 14)))) + 10 : 4;
  const root = figure(left + side * size + 4, side * size + 8, label);
  const names = isNamed ? inputs.map((token, index) => svg("text", { x: left - 6, y: 4 + side * (index + 0.75), "text-anchor": "end" }, clip(token, 14))) : [];
  root.append(...names);
  matrix.forEach((line, i) => line.forEach((value, j) => root.append(svg("rect", {
    class: value > -10000 ? "seen" : "masked", x: left + side * j + 1, y: 4 + side * i + 1, width: side - 2, height: side - 2, rx: 2,
  }))));
  const frame = svg("rect", { class: "frame", x: left, width: side * size, height: side, rx: 3 });
  root.append(frame);
  return {
    root,
    select(step) {
      frame.setAttribute("y", 4 + side * row(step));
      names.forEach((each, index) => each.classList.toggle("now", index === row(step)));
    },
  };
}
