// Buttons with data-copy put the text of the element they name into the clipboard.

async function copy(button) {
  const text = document.getElementById(button.dataset.copy).textContent;
  const word = button.querySelector("[data-copy-word]");
  try {
    await navigator.clipboard.writeText(text);
    word.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(document.getElementById(button.dataset.copy));
    word.textContent = "Press Ctrl+C";
  }
  setTimeout(() => {
    word.textContent = "Copy";
  }, 2000);
}

export function startCopy() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (button) copy(button);
  });
}
