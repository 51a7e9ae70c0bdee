// Single-key shortcuts. They do nothing while one types, and can be switched off (WCAG 2.1.4).

import { chooseHere } from "./queue.js";

const OFF = "countersign.keys-off";
const PLACES = { q: "/", r: "/runs", w: "/workflows", m: "/machines", l: "/ledger" };
let going = 0;

export const keysAreOff = () => localStorage.getItem(OFF) === "1";

export function switchKeys(off) {
  localStorage.setItem(OFF, off ? "1" : "0");
  document.documentElement.classList.toggle("no-keys", off);
}

const typing = (target) => target.closest?.("input:not([type=radio],[type=checkbox]),textarea,select,[contenteditable]");

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

function press(key) {
  const target = [...document.querySelectorAll(`[data-key="${CSS.escape(key)}"]`)].find((e) => e.offsetParent && !e.disabled);
  if (!target) return false;
  const missing = key === "a" && unanswered(target.form);
  if (missing) missing.focus();
  else if (target.matches("summary")) unfold(target.parentElement);
  else target.click();
  return true;
}

function onKey(event) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || typing(event.composedPath()[0])) return; // it may be in a shadow root
  if (document.querySelector("dialog[open]")) return;
  const { key } = event;
  if (Date.now() - going < 1500 && PLACES[key]) { location.href = PLACES[key]; return; }
  going = key === "g" ? Date.now() : 0;
  const handled = key === "j" ? (move(1), true) : key === "k" ? (move(-1), true) : key === "x" ? chooseHere() : "arecu,.".includes(key) && press(key);
  if (handled) event.preventDefault();
}

export function startKeys() {
  document.documentElement.classList.toggle("no-keys", keysAreOff());
  document.addEventListener("keydown", (event) => { if (!keysAreOff()) onKey(event); });
}
