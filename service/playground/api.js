// Sends requests, reads their events, and retries politely while the server is busy, starting or away.

const KEY = "kakehashi-key";
const MAX_WAIT_SECONDS = 30;

export class Problem extends Error {
  constructor(status, detail, retryAfterSeconds) {
    super(detail);
    this.status = status;
    this.retryAfterSeconds = retryAfterSeconds;
  }

  /** Whether to retry: 429, 502, 503, and 0, which means no answer or one that was cut off. */
  get isPassing() {
    return [0, 429, 502, 503].includes(this.status);
  }
}

export function keepKey(key) {
  sessionStorage.setItem(KEY, key);
}

/** The response, if it is a 200. Throws Problem, or AbortError when `signal` was aborted. */
export async function send(path, { body, signal } = {}) {
  const headers = {};
  if (body) headers["Content-Type"] = "application/json";
  const key = sessionStorage.getItem(KEY);
  if (key) headers.Authorization = "Bearer " + latin1(key);
  const method = body ? "POST" : "GET";
  const response = await unlessCut(signal, () =>
    fetch(path, { method, headers, signal, body: body && JSON.stringify(body) }));
  if (response.ok) return response;
  const detail = await response.json().then((problem) => problem.detail, () => response.statusText);
  throw new Problem(response.status, detail, Number(response.headers.get("Retry-After")) || 0);
}

export async function sendForJson(path, options) {
  return (await send(path, options)).json();
}

/** Yield {name, data, raw} of each Server-Sent Event. Throws Problem for `error`, and for a stream that is cut off. */
export async function* stream(path, { body, signal }) {
  const response = await send(path, { body: { ...body, stream: true }, signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let isWhole = false;
  while (!isWhole) {
    const { value, done } = await unlessCut(signal, () => reader.read());
    if (done) throw new Problem(0, "");
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const raw of blocks.filter((block) => block.startsWith("event: "))) {
      const [name, data] = raw.split("\ndata: ");
      const event = { name: name.slice(7), data: JSON.parse(data), raw };
      if (event.name === "error") throw new Problem(event.data.status, event.data.detail, 1);
      isWhole = event.name === "done";
      yield event;
    }
  }
}

/**
 * Run `work` until it succeeds. `onWait(problem, seconds)` is called every second of a wait; the "retry" event of
 * `nudge`, an EventTarget, ends the wait. `askForKey` resolves when there is another key.
 */
export async function persist(work, { signal, onWait, nudge, askForKey }) {
  for (let attempt = 0; ; attempt++) {
    try {
      return await work();
    } catch (problem) {
      if (signal.aborted || !(problem instanceof Problem)) throw problem;
      if (problem.status === 401) await askForKey();
      else if (problem.isPassing) await wait(problem, attempt, { signal, onWait, nudge });
      else throw problem;
      signal.throwIfAborted();
    }
  }
}

/** Wait at least Retry-After. Waits double, and are up to a half longer at random, lest all pages retry at once. */
async function wait(problem, attempt, { signal, onWait, nudge }) {
  const least = Math.min(MAX_WAIT_SECONDS, Math.max(problem.retryAfterSeconds ?? 0, 2 ** attempt / 2));
  const over = Date.now() + 1000 * least * (1 + Math.random() / 2);
  let isNudged = false;
  const stop = () => (isNudged = true);
  nudge.addEventListener("retry", stop);
  try {
    while (!isNudged && !signal.aborted && Date.now() < over) {
      onWait(problem, Math.ceil((over - Date.now()) / 1000));
      await pause(Math.min(1000, Math.max(0, over - Date.now())), signal, nudge);
    }
  } finally {
    nudge.removeEventListener("retry", stop);
  }
}

export function pause(milliseconds, signal, nudge = new EventTarget()) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    for (const [target, name] of [[signal, "abort"], [nudge, "retry"]]) {
      target.addEventListener(name, () => { clearTimeout(timer); resolve(); }, { once: true });
    }
  });
}

/** Run `call`. Throws a Problem with status 0 if the connection fails. */
async function unlessCut(signal, call) {
  try {
    return await call();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, String(error));
  }
}

/** Encode a key in UTF-8 as a latin-1 string, because fetch takes a header's bytes in latin-1. */
function latin1(text) {
  return String.fromCharCode(...new TextEncoder().encode(text));
}
