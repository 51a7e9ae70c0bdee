// Times in the reader's own zone; ages and countdowns that go on. The server wrote all of them as text already.

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

function local(element) {
  const at = new Date(element.dateTime);
  const day = at.toDateString() === new Date().toDateString() ? "" : `${at.toLocaleDateString(undefined, { day: "numeric", month: "short" })} `;
  write(element, "moment" in element.dataset ? at.toLocaleString() : day + clock(at));
}

function left(element, now) {
  const end = Date.parse(element.dateTime);
  const start = Date.parse(element.dataset.start);
  write(element, end > now ? `${duration((end - now) / 1000)} left` : "time is up");
  element.classList.toggle("late", end - now <= (end - start) / 5);
}

function tick() {
  const now = Date.now();
  document.querySelectorAll("time[data-age]").forEach((e) => write(e, duration((now - Date.parse(e.dateTime)) / 1000)));
  document.querySelectorAll("time[data-left]").forEach((e) => left(e, now));
  document.querySelectorAll("time[data-clock],time[data-moment]").forEach(local);
}

export function startTimes() {
  tick();
  setInterval(tick, 1000);
  document.body.addEventListener("htmx:afterSettle", tick);
}
