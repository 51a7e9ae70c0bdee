// What "More" unfolds on a phone folds itself again: by Escape, by a press beside it, and when the keyboard leaves it.

export function startPhoneMenu() {
  const sheet = document.querySelector("[data-sheet]");
  if (!sheet) return;
  const outside = (event) => {
    if (!sheet.contains(event.target)) sheet.open = false;
  };
  document.addEventListener("click", outside);
  document.addEventListener("focusin", outside);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !sheet.open) return;
    sheet.open = false;
    sheet.querySelector("summary").focus();
  });
  window.addEventListener("pageshow", () => {
    sheet.open = false;
  }); // also when one comes back to the page
}
