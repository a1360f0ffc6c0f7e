// What happens in a run, as it happens: the lines of its events.jsonl, and whether there is a connection.

import { inAddress } from "page/dom.js";

/** A line of events.jsonl: docs/events.md says what is in it. @typedef {{at: number, kind: string, [figure: string]: any}} RunEvent */
/**
 * @typedef {object} Listener
 * @property {(event: RunEvent) => void} [event]
 * @property {() => void} [anew] all that was told before is no more
 * @property {(state: {state: string, detail: string}) => void} [state] whether the run goes on
 * @property {(is_there: boolean) => void} [connection]
 */

const SILENCE_MS = 12000, AGAIN_MS = 3000;
let ahead = 0;

/** Seconds since 1970 by the server's clock. */
export const now = () => Date.now() / 1000 + ahead;

/** Follow a run from its first event, as long as this page is shown. @param {string} run @param {Listener} listener */
export function follow(run, listener) {
  let place = "0", heard = Date.now(), connected = true;
  /** @type {EventSource} */
  let source;
  const hear = (/** @type {boolean} */ is_there) => {
    if (is_there) heard = Date.now();
    if (is_there !== connected) listener.connection?.((connected = is_there));
  };
  function open() {
    source = new EventSource(`/api/runs/${inAddress(run)}/-/events?from=${place}`);
    const on = (/** @type {string} */ kind, /** @type {(content: any) => void} */ tell) =>
      source.addEventListener(kind, (message) => {
        hear(true);
        place = message.lastEventId || place;
        tell(JSON.parse(message.data));
      });
    source.onerror = () => hear(false);
    on("message", (event) => listener.event?.(event));
    on("state", (state) => listener.state?.(state));
    on("beat", (beat) => (ahead = beat.now - Date.now() / 1000));
    on("anew", () => listener.anew?.());
  }
  open();
  const timer = setInterval(() => {
    // A server that is held up says nothing at all; one that has refused is asked again.
    if (Date.now() - heard > SILENCE_MS) hear(false);
    if (source.readyState === EventSource.CLOSED) open();
  }, AGAIN_MS);
  addEventListener("pagehide", () => (clearInterval(timer), source.close()));
}
