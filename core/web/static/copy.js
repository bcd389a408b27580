// Puts a token on the clipboard. Without this it is marked by one click, and copied by hand.
"use strict";

const copy = document.querySelector("[data-copy]");
const source = document.querySelector("[data-copy-from]");

if (copy && navigator.clipboard) {
  copy.hidden = false;
  copy.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(source.textContent);
      copy.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(source);
      copy.textContent = "Marked: copy it by hand";
    }
  });
}
