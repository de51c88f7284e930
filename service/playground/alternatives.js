// The menu of other tokens at a word: the most probable ones of its first step.

import { byId, element, moveFocus } from "./dom.js";
import { isSpecial, pieceText } from "./alignment.js";

export class Alternatives {
  #opener = null;

  constructor() {
    this.menu = byId("alternatives");
    this.menu.addEventListener("keydown", (event) => {
      if (event.key === "Escape" || event.key === "Tab") this.close({ hasFocus: true });
      else moveFocus(event, [...this.menu.children]);
    });
    document.addEventListener("pointerdown", (event) => {
      if (!this.menu.contains(event.target)) this.close();
    });
  }

  /** `onChoose(piece)` is called with the vocabulary's piece for the chosen token. */
  open(opener, tokens, onChoose) {
    const offered = tokens.filter((each) => !isSpecial(each.token) && pieceText(each.token).trim());
    if (!offered.length) return;
    this.#opener = opener;
    this.menu.replaceChildren(...offered.map(({ token, probability }) => {
      const button = element("button", { type: "button", role: "menuitem", tabIndex: -1 },
        element("span", { textContent: pieceText(token).trim(), dir: "auto" }),
        element("small", { textContent: `${(100 * probability).toFixed(1)} %` }));
      button.addEventListener("click", () => { this.close(); onChoose(token); });
      return button;
    }));
    this.menu.hidden = false;
    const { left, bottom } = opener.getBoundingClientRect();
    const room = document.documentElement.clientWidth - this.menu.offsetWidth - 8;
    this.menu.style.left = `${Math.max(8, Math.min(left, room)) + scrollX}px`;
    this.menu.style.top = `${bottom + scrollY + 4}px`;
    this.menu.firstElementChild.tabIndex = 0;
    this.menu.firstElementChild.focus();
  }

  close({ hasFocus = false } = {}) {
    this.menu.hidden = true;
    if (hasFocus) this.#opener?.focus();
  }
}
