// Follows a service's log in place, as it is written. Without this, the same button leads to a page that looks again.
"use strict";

const LINES_MAX = 2000;
const button = document.querySelector("a[data-follow]");
const log = document.querySelector("pre.log");
const state = document.querySelector("[data-follow-state]");
const empty = document.querySelector(".empty");
let source = null;

function begin() {
  const code = log.querySelector("code");
  source = new EventSource(button.dataset.follow);
  button.textContent = "Stop following";
  // Every connection begins with the last lines, so what stood here is told again.
  source.addEventListener("open", () => {
    code.replaceChildren();
    state.textContent = "New lines appear as they are written.";
  });
  source.addEventListener("message", (event) => {
    log.hidden = false;
    if (empty) {
      empty.hidden = true;
    }
    code.append(document.createTextNode(`${event.data}\n`));
    while (code.childNodes.length > LINES_MAX) {
      code.firstChild.remove();
    }
  });
  source.addEventListener("error", () => {
    if (source && source.readyState === EventSource.CLOSED) {
      end("The connection has ended.");
    } else {
      state.textContent = "Connecting again…";
    }
  });
}

function end(text) {
  source.close();
  source = null;
  button.textContent = "Follow";
  state.textContent = text;
}

if (button) {
  button.addEventListener("click", (event) => {
    event.preventDefault();
    if (source) {
      end("Not followed any more.");
    } else {
      begin();
    }
  });
}
