// Small helpers for elements.

export const byId = (id) => document.getElementById(id);

export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

export function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

export function option(value, text) {
  return element("option", { value, textContent: text });
}

/** The number of Unicode characters, as the server counts them. */
export function countCharacters(text) {
  let count = text.length;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (unit >= 0xd800 && unit < 0xdc00) count--;
  }
  return count;
}

export async function copy(text, button, done) {
  await navigator.clipboard.writeText(text);
  const before = button.textContent;
  button.textContent = done;
  setTimeout(() => (button.textContent = before), 1200);
}

/** Move the focus among `items` with the arrow keys, Home and End. Only the focused item stays in the tab order. */
export function moveFocus(event, items) {
  const isRightToLeft = getComputedStyle(event.target.parentElement).direction === "rtl";
  const [right, left] = isRightToLeft ? [-1, 1] : [1, -1];
  const steps = { ArrowRight: right, ArrowLeft: left, ArrowDown: 1, ArrowUp: -1 };
  const at = items.indexOf(event.target);
  const ends = { Home: 0, End: items.length - 1 };
  const to = event.key in steps ? at + steps[event.key] : ends[event.key] ?? null;
  if (at < 0 || to === null || !items[to]) return null;
  event.preventDefault();
  for (const each of items) each.tabIndex = -1;
  items[to].tabIndex = 0;
  items[to].focus();
  return items[to];
}
