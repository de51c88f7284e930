// Asks once for an API key for all requests that were refused without one.

import { keepKey } from "./api.js";
import { byId } from "./dom.js";

let asking = null;

/** Show one dialog, however many requests were refused. Resolves when the user gives a key or closes the dialog. */
export function askForKey() {
  asking ??= new Promise((resolve) => {
    byId("key").value = "";
    byId("key-dialog").showModal();
    byId("key-dialog").addEventListener("close", () => {
      asking = null;
      if (byId("key").value) keepKey(byId("key").value);
      resolve();
    }, { once: true });
  });
  return asking;
}
