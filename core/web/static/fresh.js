// Looks again when a sync begins or ends, whoever asked for it. Without this the page shows what was so when it came.
"use strict";

const PAUSE_MS = 1000;
const place = document.querySelector("[data-fresh]");

function isInUse() {
  const file = document.querySelector("input[type=file]");
  return document.hidden || (file !== null && file.value !== "");
}

function follow() {
  const source = new EventSource(place.dataset.fresh);
  let timer = null;
  const look = () => {
    timer = null;
    // Nobody's choice is thrown away, and a page that nobody sees waits until somebody does.
    if (isInUse()) {
      timer = setTimeout(look, PAUSE_MS);
      return;
    }
    source.close();
    location.replace(place.dataset.page || location.pathname);
  };
  source.addEventListener("sync", () => {
    timer = timer || setTimeout(look, PAUSE_MS);
  });
  addEventListener("pagehide", () => source.close());
}

if (place) {
  follow();
}
