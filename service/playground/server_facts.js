// "What the server did": times, cache and batch of the last translation, and its request in three forms.

import { byId, copy, moveFocus } from "./dom.js";
import { word } from "./words.js";

const MAX_EVENT_CHARACTERS = 20_000;

export class ServerFacts {
  #began = 0;
  #first = null;
  #raw = [];
  #body = {};
  #rows = null;

  constructor() {
    this.panel = byId("server");
    this.tabs = [byId("tab-curl"), byId("tab-python"), byId("tab-events")];
    for (const tab of this.tabs) {
      tab.addEventListener("click", () => this.#choose(tab));
      tab.addEventListener("keydown", (event) => {
        const chosen = moveFocus(event, this.tabs);
        if (chosen) this.#choose(chosen);
      });
    }
    byId("copy-code").addEventListener("click", (event) => copy(byId("request-code").textContent, event.target, word("copied")));
    this.panel.addEventListener("toggle", () => { this.#write(); this.#readRows(); });
  }

  begin(body) {
    this.#body = body;
    this.#began = performance.now();
    this.#first = null;
    this.#raw = [];
    this.#write();
  }

  on(event) {
    if (event.name === "token" && this.#first === null) this.#first = performance.now();
    this.#raw.push(event.raw);
    if (event.name === "start") byId("fact-model").textContent = event.data.model;
    if (event.name === "done") this.#end(event.data.usage);
  }

  #end(usage) {
    const seconds = (performance.now() - this.#began) / 1000;
    const first = (this.#first ?? performance.now()) - this.#began;
    byId("fact-first").textContent = `${first.toFixed(first < 10 ? 1 : 0)} ms`;
    byId("fact-rate").textContent = Math.round(usage.generated_tokens / seconds).toLocaleString();
    const { encoder_cache_hits: hits, encoder_cache_misses: misses } = usage;
    byId("fact-cache").textContent = word("cacheUse", hits, hits + misses);
    this.#write();
    this.#readRows();
  }

  /** Show the mean number of rows in a decode step since the last reading, over the requests of all users. */
  async #readRows() {
    if (!this.panel.open) return;
    const page = await fetch("metrics").then((answer) => answer.text(), () => "");
    const sum = (name) => [...page.matchAll(new RegExp(`^${name}(?:{[^}]*})? (\\S+)`, "gm"))].reduce((total, [, value]) => total + Number(value), 0);
    const now = { rows: sum("kakehashi_batch_rows_sum"), steps: sum("kakehashi_batch_rows_count") };
    const before = this.#rows ?? now;
    this.#rows = now;
    if (now.steps > before.steps) byId("fact-rows").textContent = ((now.rows - before.rows) / (now.steps - before.steps)).toFixed(1);
  }

  #choose(tab) {
    for (const each of this.tabs) {
      each.ariaSelected = String(each === tab);
      each.tabIndex = each === tab ? 0 : -1;
    }
    byId("request-code").setAttribute("aria-labelledby", tab.id);
    this.#write();
  }

  #write() {
    if (!this.panel.open) return;
    const chosen = this.tabs.find((tab) => tab.ariaSelected === "true").id;
    const forms = { "tab-curl": asCurl, "tab-python": asPython, "tab-events": () => this.#raw.join("\n\n").slice(0, MAX_EVENT_CHARACTERS) };
    byId("request-code").textContent = this.#body.text ? forms[chosen](new URL("v1/translations", location.href.split("#")[0]).href, this.#body) : "";
  }
}

function asCurl(url, body) {
  const json = JSON.stringify(body, null, 2).replaceAll("'", "'\\''");
  return `curl -N ${url} -H 'Content-Type: application/json' -d '${json}'`;
}

function asPython(url, body) {
  const names = { true: "True", false: "False", null: "None" };
  const literal = JSON.stringify({ ...body, stream: false }, null, 4).replace(/: (true|false|null)\b(?=,?\n)/g, (_, name) => `: ${names[name]}`);
  return `import httpx\n\nbody = ${literal}\nanswer = httpx.post("${url}", json=body)\nfor translation in answer.json()["translations"]:\n    print(translation["target_lang"], translation["text"])`;
}
