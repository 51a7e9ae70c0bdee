// The screen of a machine: looked at again and again, and clicked where the pointer is.

import { isLive } from "./live-screen.js";

/* global htmx */

const EVERY = 2000; // ms between two looks at a page that is seen
const HIDDEN = 10_000; // ms on one that is not: its holder keeps control for 30 s without

let looked = 0;

function look() {
  const live = document.querySelector("[data-screen]");
  if (!live || (live.dataset.screen !== "run" && isLive()) || document.querySelector(".htmx-request")) return;
  if (document.hidden && (live.dataset.screen !== "mine" || Date.now() - looked < HIDDEN)) return;
  looked = Date.now();
  htmx.trigger(document.body, "look");
}

// The picture may be shown smaller than the screen is: the server is told how wide it was.
function point(event) {
  const picture = event.target.closest("[data-point] input[type=image]");
  if (!picture) return;
  event.preventDefault();
  if (event.detail === 0) return; // a key, not a pointer: there is no place
  const form = picture.form;
  form.elements.px.value = Math.max(0, Math.round(event.offsetX));
  form.elements.py.value = Math.max(0, Math.round(event.offsetY));
  form.elements.shown.value = picture.clientWidth;
  form.requestSubmit();
}

export function startMachineScreen() {
  if (!document.querySelector("[data-screen],#live.run") || !window.htmx) return;
  document.body.classList.add("scales");
  setInterval(look, EVERY);
  document.addEventListener("click", point);
  document.body.addEventListener("htmx:afterRequest", (e) => {
    if (e.detail.successful && e.target.matches("[data-typing]")) e.target.reset();
  });
}
