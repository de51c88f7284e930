// The pair and the text in the URL's fragment: #en/de,fr/text

const MAX_CHARACTERS = 10_000;

export function readFragment() {
  const [source, targets, ...text] = location.hash.slice(1).split("/");
  if (!targets) return null;
  try {
    return { source, targets: targets.split(","), text: decodeURIComponent(text.join("/")) };
  } catch {
    return null;
  }
}

export function writeFragment({ source, targets, text }) {
  const shown = text.length > MAX_CHARACTERS ? "" : encodeURIComponent(text);
  history.replaceState(null, "", `#${source}/${targets.join(",")}/${shown}`);
}
