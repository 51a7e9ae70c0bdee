// The colour switch: at once, and remembered by the server's cookie.

export function startTheme() {
  const form = document.querySelector("[data-theme-switch]");
  form?.addEventListener("submit", (event) => {
    event.preventDefault();
    const chosen = event.submitter.value;
    document.documentElement.dataset.theme = chosen;
    form.querySelectorAll("button").forEach((b) => b.setAttribute("aria-pressed", String(b.value === chosen)));
    const body = new FormData(form);
    body.set("theme", chosen);
    fetch(form.action, { method: "POST", body, headers: { "X-Quiet": "1" } }).catch(() => {});
  });
}
