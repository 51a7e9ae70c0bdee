// The queue as a place where several people work: what left it goes at once, who looks at what is said, several are
// chosen.

const LOOK_AGAIN = 20_000; // ms: the server forgets who is silent for 45 s
const LOOK_AFTER = 300; // ms that a card must stay open

let me = "";
let looks = [];
let looking = "";
let send = () => {};
let planned = 0;

// --- who looks at what

function writeLooks() {
  document.querySelectorAll("[data-looks]").forEach((place) => {
    const names = looks
      .filter(([approval, user]) => approval === place.dataset.looks && user !== me)
      .map((look) => look[2]);
    const words = names.length ? `${names.join(", ")} ${names.length > 1 ? "are" : "is"} looking at this` : "";
    if (place.textContent !== words) place.textContent = words;
    place.hidden = !words;
  });
}

function look(again) {
  clearTimeout(planned);
  planned = setTimeout(() => {
    const card = document.visibilityState === "visible" ? document.querySelector("[data-card]") : null;
    const now = card?.offsetParent ? card.dataset.card : "";
    if (now === looking && !again) return;
    if (now || looking) send({ look: now });
    looking = now;
  }, LOOK_AFTER);
}

// --- what left the queue

function remove(closed) {
  closed.forEach((id) => document.getElementById(`row-${id}`)?.remove());
}

function count(waiting) {
  const place = document.getElementById("waiting");
  if (!place) return;
  place.textContent = waiting ? String(waiting) : "";
  document.title = document.title.replace(/^\(\d+\) (?=Queue)|^(?=Queue)/, waiting ? `(${waiting}) ` : "");
}

export function hearTeam(message, answer) {
  send = answer;
  if (message.you) {
    me = message.you;
    looking = "";
    look(true);
  }
  if (message.looks) {
    looks = message.looks;
    writeLooks();
  }
  if (message.queue?.closed) {
    remove(message.queue.closed);
    count(message.queue.waiting);
  }
}

// --- choosing several

const boxes = () => [...document.querySelectorAll(".pick input")];

function tell() {
  const words = document.querySelector("[data-together-words]");
  if (!words) return;
  const chosen = boxes().filter((box) => box.checked).length;
  const text = chosen ? `${chosen} chosen` : "Choose several to decide them together.";
  if (words.textContent !== text) words.textContent = text;
  const button = words.parentElement.querySelector("button");
  button.toggleAttribute("disabled", !chosen);
}

export function chooseHere() {
  const here = ["[data-here]", ":has(:focus)", ":has([aria-current])"];
  const row = here.map((which) => document.querySelector(`.queue-item${which}`)).find(Boolean);
  const box = row?.querySelector(".pick input");
  if (!box) return false;
  box.checked = !box.checked;
  tell();
  return true;
}

// --- changing values in place

function tellEdits(form) {
  const fields = [...form.querySelectorAll("[data-was]")];
  const changed = fields.filter((field) => field.value !== field.dataset.was);
  fields.forEach((field) => {
    const differs = field.value !== field.dataset.was;
    field.toggleAttribute("data-differs", differs);
    field.parentElement.querySelector("[data-edit-reset]").hidden = !differs;
  });
  const word = form.closest("[data-card]")?.querySelector("[data-approve-word]");
  if (!word) return;
  word.dataset.plain ??= word.textContent;
  word.textContent = changed.length
    ? `Approve with ${changed.length} edit${changed.length > 1 ? "s" : ""}`
    : word.dataset.plain;
}

function onInput(event) {
  if (event.target.matches?.("[data-was]")) tellEdits(event.target.form);
  if (event.target.matches?.(".pick input")) tell();
}

function onClick(event) {
  const reset = event.target.closest("[data-edit-reset]");
  if (!reset) return;
  const field = reset.parentElement.querySelector("[data-was]");
  field.value = field.dataset.was;
  tellEdits(field.form);
  field.focus();
}

function settle() {
  writeLooks();
  tell();
  look();
  document.querySelectorAll("[data-edits]").forEach((edits) => tellEdits(edits.closest("form")));
}

export function startQueue() {
  settle();
  setInterval(() => look(true), LOOK_AGAIN);
  document.addEventListener("visibilitychange", () => look());
  document.addEventListener("input", onInput);
  document.addEventListener("click", onClick);
  document.body.addEventListener("htmx:afterSettle", settle);
}
