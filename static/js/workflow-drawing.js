// The drawing of a workflow run keeps the step that runs or waits in sight, until the reader scrolls away from it.

const HOLDERS = ".graph-if,.graph-loop,.graph-retry,.graph-parallel";
const SCROLLS = new Set([
  "ArrowUp",
  "ArrowDown",
  "ArrowLeft",
  "ArrowRight",
  "PageUp",
  "PageDown",
  "Home",
  "End",
  " ",
  "Tab",
]);
const calm = matchMedia("(prefers-reduced-motion: reduce)");

let followed = true;
let byHand = false; // the scrolling that goes on is the reader's, not ours

// Of steps within steps the innermost: the others are at work because of it.
function current(box) {
  for (const mark of ["waiting", "running", "failed"]) {
    const nodes = [...box.querySelectorAll(`.graph-node.is-${mark}`)];
    const found = nodes.filter((node) => !node.matches(HOLDERS)).at(-1) ?? nodes.at(-1);
    if (found) return found;
  }
  return null;
}

// How far the box has to be scrolled to have the step in its middle; null when all of it is to be seen.
function way(box, node) {
  const [outer, inner] = [box.getBoundingClientRect(), node.getBoundingClientRect()];
  const seen =
    inner.left >= outer.left && inner.right <= outer.right && inner.top >= outer.top && inner.bottom <= outer.bottom;
  if (seen) return null;
  return {
    left: inner.left + inner.width / 2 - outer.left - outer.width / 2,
    top: inner.top + inner.height / 2 - outer.top - outer.height / 2,
  };
}

function follow(behavior) {
  const box = document.querySelector("[data-follow-step]");
  const node = box && current(box);
  if (!node || !followed || box.querySelector(":focus")) return;
  const by = way(box, node);
  if (!by) return;
  byHand = false;
  box.scrollBy({ ...by, behavior: calm.matches ? "instant" : behavior });
}

function scrolled(event) {
  const box = event.target;
  if (!byHand || !box.matches?.("[data-follow-step]")) return;
  const node = current(box);
  followed = !node || !way(box, node);
}

// A drawing that is wider than its box begins in its middle, where the first step stands.
function showFirstStep() {
  document.querySelectorAll(".sketch").forEach((box) => {
    box.scrollLeft = (box.scrollWidth - box.clientWidth) / 2;
  });
}

export function startWorkflowDrawing() {
  showFirstStep();
  if (!document.querySelector("[data-follow-step]")) return;
  const begun = (event) => {
    if (event.target.closest?.("[data-follow-step]") && (event.type !== "keydown" || SCROLLS.has(event.key)))
      byHand = true;
  };
  for (const type of ["wheel", "touchmove", "pointerdown", "keydown"])
    document.addEventListener(type, begun, { passive: true });
  document.addEventListener("scroll", scrolled, true);
  document.body.addEventListener("htmx:afterSettle", () => follow("smooth"));
  follow("instant");
}
