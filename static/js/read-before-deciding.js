// What is decided was seen: how long a card has been on the screen, and which of its parts have been.
//
// A part carries data-read. It is read once every line of it was on the screen: what is above the fold, below it, or
// further down in its own scrolling box is not. Nothing here is a permission: the server judges each decision anew.

const YOUNG = 400; // ms that a card must be on the screen before anything decides it
const EDGE = 4; // px that may be missing at either end of a part
const LOW = 60; // px: on a screen that leaves less for the text nobody could read it through

const seen = new Map(); // card -> part -> stretches of it that were on the screen, as shares of its height
let shown = { key: "", since: 0, timer: 0 };

const cards = () => [...document.querySelectorAll("[data-card]")].filter((card) => card.offsetParent);
const barOf = (card) => card?.querySelector("[data-bar]");
const keyOf = (card) => (card ? `${card.dataset.card}-${card.dataset.version}` : "");
const partsOf = (card) =>
  [...card.querySelectorAll("[data-read]")].filter((part) => part.offsetParent && part.scrollHeight);

export function say(card, words) {
  const place = barOf(card)?.querySelector("[data-hint]");
  if (place && place.textContent !== words) place.textContent = words;
}

// --- how long it is there

function age(young) {
  for (const bar of cards().map(barOf)) {
    bar?.toggleAttribute("data-ready", !young);
    bar?.querySelectorAll("[data-decides]").forEach((button) => {
      button.toggleAttribute("data-young", young);
      hold(button);
    });
  }
}

function mature(key) {
  if (shown.key === key) age(false);
}

function begin(key) {
  clearTimeout(shown.timer);
  shown = { key, since: performance.now(), timer: setTimeout(() => mature(key), YOUNG) };
  age(true);
}

// A focused button of the card before must not answer for this one; where that was scrolled to, this one begins above
// the page.
function arrive(card) {
  if (document.activeElement?.matches("[data-decides]")) document.activeElement.blur();
  const { top } = card.getBoundingClientRect();
  if (top < 0 && !shown.key.startsWith(card.dataset.card)) scrollBy({ top, behavior: "instant" });
}

// Called whenever the page may show another card. Several stand on one page where they are decided together.
function notice() {
  const all = document.visibilityState === "visible" ? cards() : [];
  const key = all.map(keyOf).join(" ");
  if (key === shown.key) return;
  if (shown.key && key) arrive(all[0]);
  disarm();
  begin(key);
}

export function isYoung(card) {
  notice();
  return !cards().includes(card) || performance.now() - shown.since < YOUNG;
}

// --- what of it was on the screen

function view(card) {
  const covers = [...document.querySelectorAll("#offline:not([hidden]), #refusal:not(:empty)")];
  const top = Math.max(0, ...covers.map((cover) => cover.getBoundingClientRect().bottom));
  const bars = [barOf(card), document.querySelector(".nav")].filter(
    (bar) => bar && getComputedStyle(bar).position !== "static",
  );
  const below = bars
    .map((bar) => bar.getBoundingClientRect())
    .filter((box) => box.top > top && box.width > innerWidth / 4);
  return { top, bottom: Math.min(innerHeight, ...below.map((box) => box.top)) };
}

function stretches(card, part) {
  const key = keyOf(card);
  if (!seen.has(key)) seen.set(key, new Map());
  const ofCard = seen.get(key);
  if (!ofCard.has(part.dataset.read)) ofCard.set(part.dataset.read, []);
  return ofCard.get(part.dataset.read);
}

function join(list, from, to) {
  list.push([from, to]);
  list.sort((a, b) => a[0] - b[0]);
  for (let i = 1; i < list.length;) {
    if (list[i][0] > list[i - 1][1] + 1e-4) {
      i += 1;
      continue;
    }
    list[i - 1][1] = Math.max(list[i - 1][1], list[i][1]);
    list.splice(i, 1);
  }
}

// Where the first line stands that was not on the screen yet, as a share of the part; 1 when all were.
function readTo(card, part) {
  const edge = EDGE / part.scrollHeight;
  const [first] = stretches(card, part);
  if (!first || first[0] > edge) return 0;
  return first[1] >= 1 - edge ? 1 : first[1];
}

// In a table that scrolls sideways a value may lie beside what is shown of it.
function isAside(part, box) {
  const frame = part.closest(".table-scroll")?.getBoundingClientRect();
  return (
    Boolean(frame) &&
    (box.left < Math.max(frame.left, 0) - EDGE || box.right > Math.min(frame.right, innerWidth) + EDGE)
  );
}

function observe() {
  notice();
  if (document.visibilityState !== "visible") return;
  for (const card of cards()) {
    const { top, bottom } = view(card);
    for (const part of partsOf(card)) {
      const box = part.getBoundingClientRect();
      const from = Math.max(box.top, top);
      const to = Math.min(box.bottom, bottom);
      if ((to <= from && box.height) || isAside(part, box)) continue;
      const start = part.scrollTop - box.top;
      join(stretches(card, part), (from + start) / part.scrollHeight, (to + start) / part.scrollHeight);
    }
    write(card);
  }
}

function unread(card) {
  const { top, bottom } = view(card);
  if (bottom - top < LOW) return [];
  return partsOf(card).filter((part) => readTo(card, part) < 1);
}

// Brings the first line that was not on the screen yet to its top; false when there is none.
export function reveal(card) {
  observe();
  const [part] = unread(card);
  if (!part) return false;
  const share = readTo(card, part);
  if (isAside(part, part.getBoundingClientRect()))
    part.scrollIntoView({ inline: "nearest", block: "nearest", behavior: "instant" });
  const { top, bottom } = view(card);
  const box = part.getBoundingClientRect();
  const inner = part.scrollHeight > part.clientHeight + 1;
  if (inner) {
    part.scrollTop = share * part.scrollHeight - EDGE;
    part.focus({ preventScroll: true });
  }
  const line = box.top + (inner ? 0 : share * box.height);
  if (line < top || (inner ? box.bottom : line + LOW) > bottom || !inner)
    scrollBy({ top: line - top - 8, behavior: "instant" });
  begin(shown.key);
  observe();
  const rest = unread(card).length;
  say(card, rest ? "There is more to read: once more for the next part." : "That was all of it. Now decide.");
  return true;
}

// --- what the bar says

export function hold(button) {
  const held = ["data-offline", "data-unread", "data-young"].some((why) => button.hasAttribute(why));
  if (held) button.setAttribute("aria-disabled", "true");
  else button.removeAttribute("aria-disabled");
}

function write(card) {
  const left = unread(card).length;
  const bar = barOf(card);
  bar?.querySelectorAll("[data-approves]").forEach((button) => {
    button.toggleAttribute("data-unread", left > 0);
    hold(button);
  });
  const words = bar?.querySelector("[data-unread-words]");
  if (words && words.hidden !== !left) words.hidden = !left;
}

// --- one key is not enough for what spends, opens or destroys

let armed = "";

export function disarm() {
  if (!armed) return;
  armed = "";
  document.querySelectorAll("[data-armed]").forEach((bar) => {
    bar.removeAttribute("data-armed");
    bar.querySelector("[data-hint]").textContent = "";
  });
}

// True when the card wants a second, other key first.
export function arm(card) {
  const bar = barOf(card);
  if (!bar?.dataset.twice) return false;
  armed = keyOf(card);
  bar.setAttribute("data-armed", "");
  say(card, `${bar.dataset.twice} Press y to approve it, Escape to leave it.`);
  return true;
}

export const isArmed = (card) => Boolean(armed) && armed === keyOf(card);

// --- the same for pointers: a double click decides once, and nothing decides what was not seen

function onClick(event) {
  const button = event.target.closest?.("[data-bar] [data-decides]");
  const card = button?.closest("[data-card]");
  if (!card) return;
  const unripe = event.detail > 1 || isYoung(card);
  if (!unripe && !(button.matches("[data-approves]") && reveal(card))) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  if (unripe && event.detail < 2) say(card, "That was too quick: look at it first.");
}

// A key that is held down sends a focused button's click again and again.
function onHeld(event) {
  if (
    event.repeat &&
    /^(Enter| )$/.test(event.key) &&
    event.target.closest?.("[data-card]") &&
    !event.target.matches("textarea")
  )
    event.preventDefault();
}

export function startReadBeforeDeciding() {
  document.documentElement.classList.add("reads");
  observe();
  document.addEventListener("click", onClick, true);
  document.addEventListener("keydown", onHeld, true);
  document.addEventListener("scroll", observe, { capture: true, passive: true });
  document.addEventListener("toggle", observe, true);
  document.addEventListener("visibilitychange", observe);
  window.addEventListener("resize", observe);
  window.addEventListener("load", observe);
  document.body.addEventListener("htmx:afterSettle", observe);
}
