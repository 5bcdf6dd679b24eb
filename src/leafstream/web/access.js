/** The key of a server that asks for one: kept in this tab, asked for when it is missing. */

import { LeafstreamError } from "./client.js";
import { byId } from "./dom.js";
import { forThisTab } from "./kept.js";

/** @typedef {import("./client.js").Client} Client */

export class Access {
  #client;
  #dialog = /** @type {HTMLDialogElement} */ (byId("key"));
  #input = /** @type {HTMLInputElement} */ (byId("key-value"));
  /** @type {Promise<void> | null} */
  #asked = null;

  /** @param {Client} client */
  constructor(client) {
    this.#client = client;
    client.key = forThisTab.get("key");
  }

  /**
   * Does `work`, again with a key each time the server wants one.
   * @template T
   * @param {() => Promise<T>} work
   * @returns {Promise<T>}
   */
  async with(work) {
    while (true) {
      try {
        return await work();
      } catch (error) {
        if (!(error instanceof LeafstreamError && error.status === 401)) throw error;
        await this.asks();
      }
    }
  }

  /** Asks the person for a key, once for all who wait for it. */
  asks() {
    this.#asked ??= this.#ask().finally(() => {
      this.#asked = null;
    });
    return this.#asked;
  }

  async #ask() {
    byId("key-wrong").hidden = !this.#client.key;
    this.#input.value = "";
    this.#dialog.showModal();
    await new Promise((resolve) => {
      this.#dialog.addEventListener("cancel", (event) => event.preventDefault());
      this.#dialog.querySelector("form")?.addEventListener("submit", resolve, { once: true });
    });
    this.#client.key = this.#input.value.trim();
    forThisTab.set("key", this.#client.key);
    this.#dialog.close();
  }
}
