// Shows a running sync as it goes. Everything else on the page works without this.
"use strict";

const QUIET_MS = 20000;
const box = document.querySelector("[data-progress][data-watch]");

function row(list, stream) {
  let item = [...list.children].find((one) => one.dataset.stream === stream);
  if (!item) {
    item = document.createElement("li");
    item.dataset.stream = stream;
    item.append(document.createElement("span"), document.createElement("progress"), document.createElement("span"));
    list.append(item);
  }
  return item;
}

function show(list, step) {
  const [name, bar, figures] = row(list, String(step.stream)).children;
  const done = Number(step.done) || 0;
  const total = Number(step.total) || 0;
  name.textContent = String(step.stream);
  bar.setAttribute("aria-label", String(step.stream));
  if (total > 0) {
    bar.max = total;
    bar.value = Math.min(done, total);
  } else {
    bar.removeAttribute("value");
  }
  const rate = Number(step.rate) > 0 ? `, ${Math.round(Number(step.rate)).toLocaleString()} a second` : "";
  const of = total > 0 ? ` of ${total.toLocaleString()}` : "";
  figures.textContent = `${done.toLocaleString()}${of}${rate}`;
}

function watch() {
  const list = box.querySelector("ul");
  const running = new Set();
  const source = new EventSource(box.dataset.progress);
  const leave = () => {
    source.close();
    location.replace(box.dataset.page);
  };
  // Watching keeps the service awake, so it ends when nothing more is said.
  let quiet = setTimeout(leave, QUIET_MS);
  source.addEventListener("progress", (event) => {
    clearTimeout(quiet);
    quiet = setTimeout(leave, QUIET_MS);
    const step = JSON.parse(event.data);
    box.hidden = false;
    show(list, step);
    if (step.state === "running") {
      running.add(step.stream);
    } else {
      running.delete(step.stream);
      if (running.size === 0) {
        clearTimeout(quiet);
        quiet = setTimeout(leave, 1500);
      }
    }
  });
}

if (box) {
  watch();
}
