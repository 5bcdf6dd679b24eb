/** What the browser keeps for the page, in memory alone where it may keep nothing. */

/** @param {() => Storage} storage */
function kept(storage) {
  /** @type {Map<string, string>} */
  const memory = new Map();
  return {
    /** @param {string} name @returns {string | null} */
    get(name) {
      try {
        return storage().getItem(`leafstream.${name}`) ?? memory.get(name) ?? null;
      } catch {
        return memory.get(name) ?? null; // a browser told to keep nothing throws
      }
    },
    /** @param {string} name @param {string} value */
    set(name, value) {
      memory.set(name, value);
      try {
        storage().setItem(`leafstream.${name}`, value);
      } catch {
        // full, or told to keep nothing: the memory has it for as long as the page is open
      }
    },
    /** @param {string} name */
    drop(name) {
      memory.delete(name);
      try {
        storage().removeItem(`leafstream.${name}`);
      } catch {
        // nothing was kept
      }
    },
  };
}

export const forEver = kept(() => localStorage);
export const forThisTab = kept(() => sessionStorage);
