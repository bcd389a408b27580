// Shows a running sync as it goes. Everything else on the page works without this.
"use strict";

const QUIET_MS = 30000;
const LOOK_MS = 600;
const ERROR_MS = 5000;
const box = document.querySelector("[data-progress][data-watch]");

function row(list, stream) {
  let item = [...list.children].find((one) => one.dataset.stream === stream);
  if (!item) {
    item = document.createElement("li");
    item.dataset.stream = stream;
    item.append(document.createElement("span"), document.createElement("progress"), document.createElement("span"));
    item.children[0].textContent = stream;
    item.children[1].setAttribute("aria-label", stream);
    list.append(item);
  }
  return item;
}

function show(item, done, total) {
  const [, bar, figures] = item.children;
  const now = performance.now();
  if (item.firstDone === undefined) {
    item.firstDone = done;
    item.firstAt = now;
  }
  if (total > 0) {
    bar.max = total;
    bar.value = Math.min(done, total);
  } else {
    bar.removeAttribute("value");
  }
  const passed_s = (now - item.firstAt) / 1000;
  const rate = passed_s > 1 ? Math.round((done - item.firstDone) / passed_s) : 0;
  const of = total > 0 ? ` of ${total.toLocaleString()}` : "";
  figures.textContent = `${done.toLocaleString()}${of}${rate > 0 ? `, ${rate.toLocaleString()} a second` : ""}`;
}

function watch() {
  const list = box.querySelector("ul");
  const running = new Set();
  const heading = box.querySelector("h2");
  const source = new EventSource(box.dataset.progress);
  const badge = document.querySelector(".head .badge");
  let isWaiting = box.dataset.watch === "first";
  const leave = () => {
    source.close();
    location.replace(box.dataset.page);
  };
  box.hidden = !isWaiting;
  // Watching keeps the service awake, so it ends when nothing more is said.
  let timer = setTimeout(leave, QUIET_MS);
  const leaveIn = (ms) => {
    clearTimeout(timer);
    timer = setTimeout(leave, ms);
  };
  const begin = (stream, done, total) => {
    isWaiting = false;
    heading.textContent = "Syncing";
    badge.className = "badge busy";
    badge.textContent = "Syncing";
    running.add(stream);
    box.hidden = false;
    show(row(list, stream), Number(done) || 0, Number(total) || 0);
    leaveIn(QUIET_MS);
  };
  const end = (stream, text) => {
    isWaiting = false;
    running.delete(stream);
    const [, bar, figures] = row(list, stream).children;
    bar.max = 1;
    bar.value = 1;
    figures.textContent = text;
    box.hidden = false;
    if (running.size === 0) {
      leaveIn(LOOK_MS);
    }
  };
  source.addEventListener("status", (event) => {
    const status = JSON.parse(event.data);
    if (status.streams) {
      for (const [stream, one] of Object.entries(status.streams)) {
        if (one.state !== "idle") {
          begin(stream, one.progress && one.progress.done, one.progress && one.progress.total);
        }
      }
      // Before the first sync nothing runs either; its beginning is told here.
      if (running.size === 0 && !isWaiting) {
        leaveIn(LOOK_MS);
      }
    } else {
      begin(String(status.stream), 0, 0);
    }
  });
  // A service that cannot start or was stopped: the page itself says why.
  source.addEventListener("error", () => leaveIn(ERROR_MS));
  source.addEventListener("progress", (event) => {
    const step = JSON.parse(event.data);
    begin(String(step.stream), step.done, step.total);
  });
  source.addEventListener("run", (event) => {
    const run = JSON.parse(event.data);
    const gains = ["new", "updated", "deleted"].filter((kind) => run[kind] > 0).map((kind) => `${run[kind].toLocaleString()} ${kind}`);
    end(String(run.stream), `${run.status}, ${gains.join(", ") || "nothing new"}`);
  });
}

if (box) {
  watch();
}
