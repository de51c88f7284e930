// The page: turns the user's actions into requests, one at a time, and shows their events.

import { pause, persist, sendForJson, stream } from "./api.js";
import { Alternatives } from "./alternatives.js";
import { lookAsChosen } from "./appearance.js";
import { Continuation } from "./continuation.js";
import { Counterparts } from "./counterparts.js";
import { byId } from "./dom.js";
import { Editor } from "./editor.js";
import { readFragment, writeFragment } from "./fragment.js";
import { Inside } from "./inside.js";
import { askForKey } from "./key_dialog.js";
import { AUTO, Languages } from "./languages.js";
import { Options } from "./options.js";
import { ServerFacts } from "./server_facts.js";
import { TargetPane } from "./target_pane.js";
import { pageLanguage, word } from "./words.js";

const TYPING_MILLISECONDS = 250;
/** Alignment makes an answer nine times as large and a long text slower: it is requested once the text has settled. */
const SETTLED_MILLISECONDS = 400;
const MAX_ALIGNED_CHARACTERS = 10_000;
const DETAILS = ["tokens", "alignment", "top_tokens"];

const start = readFragment();
const editor = new Editor();
const languages = new Languages(start);
const inside = new Inside();
const facts = new ServerFacts();
const alternatives = new Alternatives();
const options = new Options();
const counterparts = new Counterparts(editor);
const nudge = new EventTarget();
let panes = [];
let running = new AbortController();
let detected = null;
let sentence = 0;

/** The chosen source language, or else the one that was detected; null before. */
const sourceLanguage = () => (languages.source === AUTO ? detected : languages.source);

// What the page shows.

function show() {
  byId("text").lang = languages.source === AUTO ? "" : languages.source;
  languages.show();
  showPanes();
  editor.refresh();
  inside.redraw();
  showDetected();
}

function showPanes() {
  const offered = languages.offered();
  panes = languages.targets.map((lang) => panes.find((pane) => pane.lang === lang) ?? newPane(lang));
  for (const pane of panes) {
    const others = languages.targets.filter((lang) => lang !== pane.lang);
    pane.offer(offered.filter((lang) => !others.includes(lang)), { isOnly: panes.length === 1 });
  }
  byId("targets").replaceChildren(...panes.map((pane) => pane.root));
  byId("add-target").disabled = offered.length <= languages.targets.length;
  byId("clear").disabled = !editor.text;
}

function showDetected() {
  byId("detected").textContent = detected && languages.source === AUTO ? word("detected", languages.name(detected)) : "";
}

function say(text, { isTrouble = false, isPassing = false } = {}) {
  byId("status").textContent = text;
  byId("status").classList.toggle("trouble", isTrouble);
  byId("retry").hidden = !isPassing;
}

function onWait({ status }, seconds) {
  const name = { 429: "busy", 503: "notReady" }[status] ?? "away";
  say(word(name, seconds), { isTrouble: true, isPassing: true });
}

const politely = (work, signal) => persist(work, { signal, onWait, nudge, askForKey });

// Translation.

/** Cancel the request in flight at once, and send one for the new input after a pause. */
function changed({ isTyping = false } = {}) {
  running.abort();
  running = new AbortController();
  alternatives.close();
  counterparts.clear();
  sentence = 0;
  showPanes();
  writeFragment({ source: languages.source, targets: languages.targets, text: editor.text });
  if (!editor.text.trim() || editor.isOver) {
    detected = null;
    showDetected();
    for (const pane of panes) pane.clear();
    inside.explain(null);
    return say("");
  }
  translate(running.signal, isTyping ? TYPING_MILLISECONDS : 0).catch((problem) => {
    if (problem.name !== "AbortError") say(problem.message, { isTrouble: true });
  });
}

async function translate(signal, delay) {
  await pause(delay, signal);
  signal.throwIfAborted();
  const body = requestBody();
  await politely(() => receive(body, signal, { isFirst: true }), signal);
  say(word("done"));
  await pause(SETTLED_MILLISECONDS, signal);
  signal.throwIfAborted();
  if (editor.text.length > MAX_ALIGNED_CHARACTERS) return;
  await politely(() => receive({ ...body, source_lang: sourceLanguage(), return: DETAILS }, signal, {}), signal);
  say(word("hint"));
  explain();
}

function requestBody() {
  const body = { text: editor.text, target_lang: languages.targets, ...options.fields(languages.targets.length) };
  if (languages.source !== AUTO) body.source_lang = languages.source;
  return body;
}

/** Show a translation as it streams in; the second request, with `return`, shows a finished target as words. */
async function receive(body, signal, { isFirst = false }) {
  const tokens = new Map(panes.map((pane) => [pane.lang, []]));
  if (isFirst) {
    say(word("translating"));
    facts.begin({ ...body, stream: true });
    for (const pane of panes) pane.expect();
  }
  for await (const event of stream("v1/translations", { body, signal })) {
    if (isFirst) facts.on(event);
    const pane = panes.find((each) => each.lang === event.data.target_lang);
    if (event.name === "token") {
      tokens.get(pane.lang).push(event.data);
      if (isFirst) pane.append(event.data.text);
    } else if (event.name === "translation") {
      if (isFirst) pane.finish(event.data);
      else counterparts.show(pane, event.data, tokens.get(pane.lang));
      detected = event.data.detected_source_lang ?? (languages.source === AUTO ? detected : null);
      showDetected();
    }
  }
  return tokens;
}

// Alternatives.

function chooseWord(pane, index) {
  const [token] = pane.words[index].tokens;
  sentence = token?.sentence_index ?? 0;
  explain();
  if (token?.top_tokens) alternatives.open(pane.spans[index], token.top_tokens, (piece) => resume(pane, token, piece));
}

/** Translate the sentence of `token` anew from `token` on, with `piece` in its place. */
function resume(pane, token, piece) {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  const continuation = new Continuation(pane.tokens, token, piece);
  const { prefix } = continuation;
  const text = counterparts.sentences()[token.sentence_index] ?? editor.text;
  const body = {
    ...options.fields(1), text, target_lang: pane.lang, source_lang: sourceLanguage(), prefix, return: DETAILS,
  };
  const receiveRest = async () => {
    const rest = [];
    facts.begin({ ...body, stream: true });
    for await (const event of stream("v1/translations", { body, signal })) {
      facts.on(event);
      if (event.name === "token") rest.push(event.data);
    }
    const tokens = continuation.with(rest);
    const joined = tokens.map((each) => each.text).join("");
    counterparts.show(pane, { ...pane.translation, text: joined, hypotheses: [] }, tokens);
    say(word("hint"));
  };
  politely(receiveRest, signal).catch((problem) => {
    if (problem.name !== "AbortError") say(problem.message, { isTrouble: true });
  });
}

// See inside.

function explain() {
  const sentences = counterparts.sentences();
  const numSentences = Math.max(1, sentences.length);
  sentence = Math.min(Math.max(0, sentence), numSentences - 1);
  byId("previous-sentence").disabled = sentence === 0;
  byId("next-sentence").disabled = sentence >= numSentences - 1;
  const pane = panes.find((each) => each.isDirect && each.lang !== (detected ?? languages.source));
  const text = sentences[sentence];
  inside.explain(pane && text ? { text, target_lang: pane.lang, source_lang: sourceLanguage() } : null);
}

// The user's actions.

function newPane(lang) {
  const pane = new TargetPane(lang);
  pane.addEventListener("language", ({ detail }) => {
    languages.targets = languages.targets.map((each) => (each === pane.lang ? detail : each));
    changed();
  });
  pane.addEventListener("remove", () => {
    languages.targets = languages.targets.filter((each) => each !== pane.lang);
    changed();
  });
  pane.addEventListener("point", ({ detail }) => counterparts.pointAtTarget(pane, detail));
  pane.addEventListener("choose", ({ detail }) => chooseWord(pane, detail));
  return pane;
}

function swap() {
  const [pane] = panes;
  const source = languages.source === AUTO ? detected ?? pageLanguage() : languages.source;
  const text = pane.text;
  languages.source = pane.lang;
  languages.targets = [source, ...languages.targets.slice(1)];
  languages.settle();
  if (text) editor.text = text;
  show();
  changed();
}

function listen() {
  editor.addEventListener("edit", () => changed({ isTyping: true }));
  editor.addEventListener("point", ({ detail }) => counterparts.pointAtSource(panes, detail));
  languages.select.addEventListener("change", () => {
    languages.source = languages.select.value;
    languages.settle();
    show();
    changed();
  });
  byId("swap").addEventListener("click", swap);
  byId("clear").addEventListener("click", () => { editor.text = ""; changed(); editor.area.focus(); });
  byId("add-target").addEventListener("click", () => {
    const [added] = languages.offered().filter((code) => !languages.targets.includes(code));
    languages.targets = [...languages.targets, added];
    changed();
  });
  byId("retry").addEventListener("click", () => nudge.dispatchEvent(new Event("retry")));
  options.addEventListener("change", () => changed({ isTyping: true }));
  byId("inside").addEventListener("toggle", explain);
  for (const [id, by] of [["previous-sentence", -1], ["next-sentence", 1]]) {
    byId(id).addEventListener("click", () => { sentence += by; explain(); });
  }
  byId("page-language").addEventListener("change", () => { show(); changed(); });
}

async function begin() {
  lookAsChosen();
  editor.text = start?.text ?? "";
  listen();
  show();
  const { signal } = new AbortController();
  const { languages: served } = await politely(() => sendForJson("v1/languages", { signal }), signal);
  languages.serve(served);
  show();
  say("");
  if (editor.text) changed();
}

begin();
