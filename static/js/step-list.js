// The step list follows the newest row only while the reader is at its bottom; else a pill counts what is new.

const atBottom = (box) => box.scrollHeight - box.scrollTop - box.clientHeight < 32;
const rows = (box) => box.querySelectorAll("[data-row]").length;

let followed = true;
let seen = 0;

function pill(box) {
  const button = document.querySelector("[data-pill]");
  const fresh = rows(box) - seen;
  button.hidden = followed || fresh <= 0;
  button.textContent = `${fresh} new ↓`;
}

function settle() {
  const box = document.querySelector("[data-follow]");
  if (!box) return;
  const chosen = box.querySelector("[aria-current]");
  if (followed && !chosen) box.scrollTop = box.scrollHeight;
  if (followed) seen = rows(box);
  pill(box);
}

export function startStepList() {
  const box = document.querySelector("[data-follow]");
  if (!box) return;
  seen = rows(box);
  box.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
  settle();
  document.addEventListener(
    "scroll",
    (e) => {
      if (!e.target.matches?.("[data-follow]")) return;
      followed = atBottom(e.target);
      if (followed) {
        seen = rows(e.target);
        pill(e.target);
      }
    },
    true,
  );
  document.addEventListener("click", (e) => {
    if (!e.target.closest("[data-pill]")) return;
    followed = true;
    settle();
  });
  document.body.addEventListener("htmx:afterSettle", settle);
}
