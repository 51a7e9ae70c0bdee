// Single-key shortcuts. They do nothing while one types, and can be switched off (WCAG 2.1.4).

import { chooseHere } from "./queue.js";
import { arm, disarm, isArmed, isYoung, reveal, say } from "./read-before-deciding.js";

const OFF = "countersign.keys-off";
const PLACES = { q: "/", r: "/runs", w: "/workflows", m: "/machines", l: "/ledger" };
let going = 0;

export const keysAreOff = () => localStorage.getItem(OFF) === "1";

export function switchKeys(off) {
  localStorage.setItem(OFF, off ? "1" : "0");
  document.documentElement.classList.toggle("no-keys", off);
}

const typing = (target) =>
  target.closest?.("input:not([type=radio],[type=checkbox]),textarea,select,[contenteditable]");

function links() {
  return [...document.querySelectorAll("[data-list] :is(a.queue-row,a.step,a.row-link)")].filter((a) => a.offsetParent);
}

function move(by) {
  const all = links();
  if (!all.length) return;
  const here = all.findIndex((a) => a === document.activeElement || a.closest("[data-here]"));
  const current = here >= 0 ? here : all.findIndex((a) => a.hasAttribute("aria-current"));
  const next = all[Math.min(all.length - 1, Math.max(0, current + by))];
  document.querySelectorAll("[data-here]").forEach((e) => e.removeAttribute("data-here"));
  next.closest("tr,li")?.setAttribute("data-here", "");
  next.focus();
  if (next.matches(".queue-row") && document.querySelector(".queue-pane .card")?.offsetParent) next.click();
}

// The cursor is in the field before the next key arrives: the toggle event would come later.
function unfold(details) {
  details.open = true;
  details.querySelector("textarea,input:not([type=hidden])")?.focus();
}

// What still needs an answer before the form can be sent.
function unanswered(form) {
  const filled = (field) => (/^(radio|checkbox)$/.test(field.type) ? field.checked : field.value.trim());
  const questions = [...(form?.querySelectorAll("[data-question]") ?? [])].map((q) => [...q.querySelectorAll("input")]);
  const open = questions.find((fields) => !fields.some(filled));
  return open?.[0] ?? [...(form?.querySelectorAll("[aria-required]") ?? [])].find((field) => !filled(field));
}

// The ledger is not everybody's: what the page has no link to is no place to go.
const leadsSomewhere = (path) => path && document.querySelector(`.nav a[href="${path}"]`);

const keyed = (key) =>
  [...document.querySelectorAll(`[data-key="${CSS.escape(key)}"]`)].find((e) => e.offsetParent && !e.disabled);

// A key on a card speaks for what its reader has seen: not for a card that has only just come.
function early(card) {
  if (!card || !isYoung(card)) return false;
  say(card, "That was too quick: look at it first, then press the key.");
  return true;
}

// First what was not on the screen, then what is not answered, then what one key is too little for; then it is done.
function approve(target, card) {
  if (card && target.matches("[data-approves]") && reveal(card)) return;
  const missing = unanswered(target.form);
  if (missing) missing.focus();
  else if (!card || !target.matches("[data-approves]") || !arm(card)) target.click();
}

function press(key) {
  const target = keyed(key);
  if (!target) return false;
  const card = "are".includes(key) ? target.closest("[data-card]") : null;
  if (early(card)) return true;
  if (target.matches("summary")) unfold(target.parentElement);
  else if (key === "a") approve(target, card);
  else target.click();
  return true;
}

// The second key of an approval that one key is too little for.
function confirm() {
  const target = keyed("a");
  const card = target?.closest("[data-card]");
  if (!card || !isArmed(card)) return false;
  disarm();
  if (!early(card)) target.click();
  return true;
}

function onKey(event) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || typing(event.composedPath()[0]))
    return; // it may be in a shadow root
  if (document.querySelector("dialog[open]")) return;
  const { key } = event;
  if (event.repeat && "arecuxy".includes(key)) return; // a key that is held down says nothing new
  if (key === "y" && confirm()) {
    event.preventDefault();
    return;
  }
  disarm();
  if (Date.now() - going < 1500 && leadsSomewhere(PLACES[key])) {
    location.href = PLACES[key];
    return;
  }
  going = key === "g" ? Date.now() : 0;
  const handled =
    key === "j"
      ? (move(1), true)
      : key === "k"
        ? (move(-1), true)
        : key === "x"
          ? chooseHere()
          : "arecu,.".includes(key) && press(key);
  if (handled) event.preventDefault();
}

export function startShortcuts() {
  document.documentElement.classList.toggle("no-keys", keysAreOff());
  document.addEventListener("keydown", (event) => {
    if (!keysAreOff()) onKey(event);
  });
}
