// Tries a call of the API: with the key given on the page, else as the person who is signed in.

const LONGEST = 20_000; // characters of an answer that are shown
const STREAM = 5000; // ms that an event stream is listened to

const element = (name, text, kind = "") => {
  const made = document.createElement(name);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
};

function headers(page) {
  const key = page.querySelector("[data-api-key]").value.trim();
  if (key) return { "X-API-Key": key };
  const token = page.querySelector("[name=csrfmiddlewaretoken]")?.value ?? "";
  return { "X-CSRFToken": token, "X-Team-Mode": page.dataset.world };
}

function address(form) {
  let path = form.dataset.path;
  for (const field of form.querySelectorAll("[data-place]")) {
    path = path.replace(`{${field.dataset.place}}`, encodeURIComponent(field.value.trim()));
  }
  const query = new URLSearchParams();
  for (const field of form.querySelectorAll("[data-query]")) {
    if (field.value.trim()) query.set(field.dataset.query, field.value.trim());
  }
  return query.size ? `${path}?${query}` : path;
}

function pretty(text, kind) {
  if (!kind.includes("json")) return text;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

async function content(answer, stop) {
  const kind = answer.headers.get("Content-Type") ?? "";
  if (kind.startsWith("image/")) return `${kind}, ${(await answer.blob()).size} bytes`;
  if (!kind.startsWith("text/event-stream")) return pretty(await answer.text(), kind);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let read = "";
  const timer = setTimeout(() => stop.abort(), STREAM);
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) read += part.value;
  } catch {
    read += `\n(listened for ${STREAM / 1000} s)`;
  }
  clearTimeout(timer);
  return read;
}

function show(place, line, good, text) {
  const cut = text.length > LONGEST ? `${text.slice(0, LONGEST)}\n[… ${text.length - LONGEST} more characters]` : text;
  const box = element("pre", cut, "box longtext small");
  box.tabIndex = 0;
  box.setAttribute("aria-label", "Answer");
  place.replaceChildren(element("p", line, `badge ${good ? "is-good" : "is-bad"}`), ...(cut ? [box] : []));
}

// What the call lacks is said before anything is sent.
function lacking(form) {
  const empty = [...form.querySelectorAll("[data-place]")].find((field) => !field.value.trim());
  if (!empty) return "";
  empty.focus();
  return `Fill in ${empty.dataset.place} first: the call that lists them answers it.`;
}

async function send(form) {
  const page = form.closest("[data-api]");
  const place = form.querySelector("[data-answer]");
  const problem = lacking(form);
  if (problem) {
    show(place, problem, false, "");
    return;
  }
  if ("endsThings" in form.dataset && form.dataset.sure !== address(form)) {
    form.dataset.sure = address(form);
    show(place, "This ends or deletes something. Press Execute once more to do it.", false, "");
    return;
  }
  delete form.dataset.sure;
  const body = form.querySelector("[data-body]")?.value;
  const stop = new AbortController();
  show(place, "Sent; waiting for the answer …", true, "");
  try {
    const answer = await fetch(address(form), {
      method: form.dataset.try,
      body,
      headers: headers(page),
      signal: stop.signal,
      credentials: "same-origin",
    });
    show(place, `${answer.status} ${answer.statusText}`.trim(), answer.ok, await content(answer, stop));
  } catch (error) {
    show(place, `No answer: ${error.message}`, false, "");
  }
}

// The newest id of the part fills what is empty, so that reading a thing needs no looking up.
async function suggest(form) {
  const page = form.closest("[data-api]");
  const [, , noun] = form.dataset.path.split("/");
  const first = form.querySelector("[data-place]");
  if (!first || first.value || form.dataset.try !== "GET" || !form.dataset.path.startsWith(`/v1/${noun}/{`)) return;
  const answer = await fetch(`/v1/${noun}?limit=1`, { headers: headers(page), credentials: "same-origin" });
  const [newest] = answer.ok ? ((await answer.json()).data ?? []) : [];
  if (newest && !first.value) first.value = newest.id ?? newest.key_id ?? "";
}

for (const form of document.querySelectorAll("[data-try]")) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form);
  });
  form.closest("details").addEventListener("toggle", (event) => {
    if (event.target.open && event.target.contains(form)) suggest(form).catch(() => {});
  });
}
document.querySelectorAll("[data-js][hidden]").forEach((e) => {
  e.hidden = false;
});
document.querySelectorAll("[data-nojs]").forEach((e) => {
  e.hidden = true;
});

function openNamed() {
  const named = document.getElementById(location.hash.slice(1));
  if (named?.matches("details")) named.open = true;
}
openNamed();
window.addEventListener("hashchange", openNamed);
