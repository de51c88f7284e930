// The page's own language and its colours, which the browser keeps for the next visit.

import { byId, option } from "./dom.js";
import { LANGUAGES, preferredLanguage, speak } from "./words.js";

const LANGUAGE = "kakehashi-language";
const THEME = "kakehashi-theme";

/** Apply the choices of the last visit, and from now on those of this one. Call it before other listeners are added. */
export function lookAsChosen() {
  const languages = Object.entries(LANGUAGES).map(([code, name]) => option(code, name));
  byId("page-language").replaceChildren(...languages);
  keep("page-language", LANGUAGE, preferredLanguage(), speak);
  keep("theme", THEME, "auto", (theme) => (document.documentElement.dataset.theme = theme));
}

function keep(id, key, otherwise, apply) {
  const select = byId(id);
  select.value = localStorage.getItem(key) ?? otherwise;
  apply(select.value);
  select.addEventListener("change", () => {
    localStorage.setItem(key, select.value);
    apply(select.value);
  });
}
