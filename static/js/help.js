// The help dialog: `?` or the button in the frame.
import { keysAreOff, switchKeys } from "./shortcuts.js";

export function startHelp() {
  const dialog = document.getElementById("help");
  if (!dialog) return;
  const box = dialog.querySelector("[data-keys-off]");
  const open = () => {
    box.checked = keysAreOff();
    dialog.showModal();
  };
  box.addEventListener("change", () => switchKeys(box.checked));
  document.addEventListener("click", (e) => {
    if (e.target.closest("[data-help]")) open();
  });
  document.addEventListener("keydown", (e) => {
    if (e.key === "?" && !dialog.open && !keysAreOff() && !e.target.closest("input,textarea,select")) open();
  });
}
