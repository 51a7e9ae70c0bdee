// Times in the reader's own zone; ages and countdowns that go on. The server wrote all of them as text already.

const MOST = 30_000; // ms that a computer's clock may differ before the page says so

let skew = 0; // ms by which the server's clock is ahead of this computer's
let heard = "";

const two = (n) => String(n).padStart(2, "0");

export function duration(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  if (s < 600) return s % 60 ? `${Math.floor(s / 60)} min ${s % 60} s` : `${s / 60} min`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

export const clock = (date) => `${two(date.getHours())}:${two(date.getMinutes())}`;

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// The server's clock counts: a computer whose own is wrong shows the same ages and the same time left.
export const now = () => Date.now() + skew;

function listen() {
  const said = document.getElementById("server-now")?.dataset.now ?? "";
  if (!said || said === heard) return;
  heard = said;
  skew = Number(said) * 1000 + 500 - Date.now();
  const note = document.getElementById("clock-note");
  const wrong = Math.abs(skew) > MOST;
  note.hidden = !wrong;
  if (!wrong) return;
  const difference = `${duration(Math.abs(skew) / 1000)} ${skew > 0 ? "slow" : "fast"}`;
  write(note, `The clock of this computer is ${difference}. Ages and time left are counted by the server’s.`);
}

function local(element) {
  const at = new Date(element.dateTime);
  const day =
    at.toDateString() === new Date(now()).toDateString()
      ? ""
      : `${at.toLocaleDateString(undefined, { day: "numeric", month: "short" })} `;
  write(element, "moment" in element.dataset ? at.toLocaleString() : day + clock(at));
}

function left(element, at) {
  const end = Date.parse(element.dateTime);
  const start = Date.parse(element.dataset.start);
  write(element, end > at ? `${duration((end - at) / 1000)} left` : "time is up");
  element.classList.toggle("late", end - at <= (end - start) / 5);
}

function tick() {
  listen();
  const at = now();
  document.querySelectorAll("time[data-age]").forEach((e) => write(e, duration((at - Date.parse(e.dateTime)) / 1000)));
  document.querySelectorAll("time[data-left]").forEach((e) => left(e, at));
  document.querySelectorAll("time[data-clock],time[data-moment]").forEach(local);
}

export function startTimes() {
  tick();
  setInterval(tick, 1000);
  document.body.addEventListener("htmx:afterSettle", tick);
}
