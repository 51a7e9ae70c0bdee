// One scrubber moves picture, log and cost together; space plays the steps.
import { keysAreOff } from "./shortcuts.js";

/* global htmx */

const PACE = 900; // ms a step is shown while playing
const REST = 120; // ms the hand must rest before the step is asked for

let playing = 0;
let resting = 0;

const form = () => document.querySelector("[data-scrub]");
const slider = () => form()?.querySelector("input[type=range]");

function ask() {
  if (form()) htmx.trigger(form(), "scrub");
}

function tell() {
  const button = form()?.querySelector("[data-play]");
  if (!button) return;
  button.setAttribute("aria-pressed", String(Boolean(playing)));
  button.querySelector(".unseen").textContent = playing ? "Pause" : "Play the steps";
}

function stop() {
  clearInterval(playing);
  playing = 0;
  tell();
}

function next() {
  const at = slider();
  if (!at || Number(at.value) >= Number(at.max)) {
    stop();
    return;
  }
  if (document.querySelector(".htmx-request")) return;
  at.value = Number(at.value) + 1;
  ask();
}

function toggle() {
  if (playing) {
    stop();
    return;
  }
  const at = slider();
  if (!at) return;
  if (Number(at.value) >= Number(at.max)) {
    at.value = at.min;
    ask();
  }
  playing = setInterval(next, PACE);
  tell();
}

function moved(event) {
  if (!event.target.closest?.("[data-scrub]")) return;
  const { value, max } = event.target;
  form().querySelector("output").textContent = `${value} of ${max}`;
  clearTimeout(resting);
  resting = setTimeout(ask, REST);
}

const takesSpace = (target) => target.closest?.("a,button,input,textarea,select,summary,[contenteditable],[tabindex]");

function onKey(event) {
  if (event.key !== " " || event.repeat || event.defaultPrevented || keysAreOff() || !slider()) return;
  if (takesSpace(event.composedPath()[0]) || document.querySelector("dialog[open]")) return;
  event.preventDefault();
  toggle();
}

export function startScrubber() {
  if (!document.querySelector("#live.run") || !window.htmx) return;
  document.addEventListener("input", moved);
  document.addEventListener("keydown", onKey);
  document.addEventListener("click", (e) => {
    if (e.target.closest("[data-play]")) toggle();
  });
  document.body.addEventListener("htmx:afterSettle", tell);
}
