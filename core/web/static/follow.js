// Follows a service's log as it is written. Without this the page looks again by itself.
"use strict";

const LINES_MAX = 2000;
const code = document.querySelector("[data-follow] code");
const state = document.querySelector("[data-follow-state]");

if (code) {
  const source = new EventSource(code.parentElement.dataset.follow);
  // Every connection begins with the last lines, so what stood here is told again.
  source.addEventListener("open", () => {
    code.replaceChildren();
    state.textContent = "New lines appear as they are written.";
  });
  source.addEventListener("message", (event) => {
    code.append(document.createTextNode(`${event.data}\n`));
    while (code.childNodes.length > LINES_MAX) {
      code.firstChild.remove();
    }
  });
  source.addEventListener("error", () => {
    state.textContent = source.readyState === EventSource.CLOSED ? "The connection has ended. Load this page again." : "Connecting again…";
  });
}
