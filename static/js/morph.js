// What a person has begun stays when the server's newer page is merged in.

/* global Idiomorph */

const sameKeep = (before, after) => before.dataset?.keep && after.dataset && before.dataset.keep === after.dataset.keep;

let looking = false; // the newer page was asked for by a poke, not by something that somebody did

// The server says a thing once; a poke right after it must not wipe it away unread.
const stillSaid = (before, after) =>
  looking && before.matches?.(".messages") && before.childElementCount && !after.childElementCount;

export function startMorph() {
  if (!window.Idiomorph) return;
  document.body.addEventListener("htmx:beforeSwap", (e) => {
    looking = e.detail.requestConfig.verb === "get";
  });
  const { callbacks } = Idiomorph.defaults;
  // data-keep="x": untouched as long as x is the same. A half-written reason survives a live update.
  callbacks.beforeNodeMorphed = (before, after) =>
    !(before.nodeType === 1 && (sameKeep(before, after) || stillSaid(before, after)));
  // Whether something is folded is the reader's business; so is what scripts have shown.
  callbacks.beforeAttributeUpdated = (name, node) =>
    !(
      (name === "open" && node.hasAttribute("data-stay")) ||
      (name === "hidden" && node.matches("[data-js],[data-pill]"))
    );
}
