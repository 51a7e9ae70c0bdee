// Forms: selects that send themselves, contradictory answers, the cursor in the reason, one click sent once.

// Own words clear the chosen circle, a chosen circle clears own words.
function settle(event) {
  const question = event.target.closest("[data-question]");
  if (!question) return;
  const own = question.querySelector("input[name^='own.']");
  if (event.target === own && own.value)
    question.querySelectorAll("input[type=radio]").forEach((r) => {
      r.checked = false;
    });
  if (event.target.type === "radio" && own) own.value = "";
}

function showWhatNeedsScript() {
  document.querySelectorAll("[data-js][hidden]").forEach((e) => {
    e.hidden = false;
  });
  document.querySelectorAll("[data-nojs]").forEach((e) => {
    e.hidden = true;
  });
}

// A form that is on its way is not sent twice: the second click of a double click starts nothing.
const ON_ITS_WAY = 3000; // ms
function sendOnce(event) {
  const form = event.target;
  if (event.defaultPrevented || form.method !== "post" || form.hasAttribute("hx-post")) return;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "1";
  setTimeout(() => {
    delete form.dataset.sent;
  }, ON_ITS_WAY);
}

export function startForms() {
  showWhatNeedsScript();
  document.body.addEventListener("htmx:afterSettle", showWhatNeedsScript);
  document.addEventListener("change", (e) => e.target.closest("[data-autosubmit]")?.requestSubmit());
  document.addEventListener("input", settle);
  document.addEventListener("submit", sendOnce);
  document.addEventListener(
    "toggle",
    (e) => {
      if (e.target.matches?.("[data-reject][open]")) e.target.querySelector("textarea").focus();
    },
    true,
  );
  document.addEventListener("keydown", (e) => {
    const open = e.key === "Escape" && e.target.closest?.("[data-reject][open]");
    if (open) {
      open.open = false;
      open.querySelector("summary").focus();
    }
  });
}
