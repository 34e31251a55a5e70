// Buttons that copy what stands beside them. Where a browser does not allow it, they select it.

async function copy(button) {
  const source = document.getElementById(button.dataset.copy);
  const name = button.textContent;
  try {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(source);
    button.textContent = "Selected; press Ctrl-C";
  }
  setTimeout(() => { button.textContent = name; }, 2000);
}

for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", () => copy(button));
}
