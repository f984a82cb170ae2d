// Live pages: parts that the server sends replace those with the same id. Ages, progress, thumbnails and the search.
"use strict";

const list = document.querySelector("[data-list]");
let source = null;
let since = document.body.dataset.since;

function countRows() {
  for (const note of document.querySelectorAll("[data-empty]")) {
    const items = document.getElementById(note.dataset.empty).children;
    note.hidden = [...items].some((item) => !item.hidden);
  }
}

function replacePart(part) {
  const earlier = document.getElementById(part.id);
  if ("gone" in part.dataset) {
    if (earlier) earlier.remove();
    return;
  }
  if (!earlier) {
    if (list) list.prepend(part);
    return;
  }
  const focused = earlier.contains(document.activeElement) && document.activeElement.getAttribute("href");
  earlier.replaceWith(part);
  const again = focused && part.querySelector(`[href="${CSS.escape(focused)}"]`);
  if (again) again.focus();
}

function receive(event) {
  since = event.lastEventId;
  const holder = document.createElement("template");
  holder.innerHTML = event.data;
  for (const part of [...holder.content.children]) replacePart(part);
  watchThumbnails();
  tick();
  countRows();
}

function connect() {
  const address = document.body.dataset.events;
  if (!address || source) return;
  source = new EventSource(`${address}&since=${encodeURIComponent(since)}`);
  source.addEventListener("jobs", receive);
}

function disconnect() {
  if (source) source.close();
  source = null;
}

// A browser has six connections to a server: a page that is not seen must not keep one.
document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : connect()));
window.addEventListener("pagehide", disconnect);
window.addEventListener("pageshow", connect);

function describeAge(seconds) {
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]]) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit} ago`;
  }
  return seconds < 5 ? "just now" : `${Math.floor(seconds)} s ago`;
}

function describeSeconds(seconds) {
  const whole = Math.floor(seconds);
  const minutes = Math.floor(whole / 60);
  return minutes ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}

function tick() {
  const now = Date.now();
  for (const time of document.querySelectorAll("[data-age]")) {
    const text = describeAge(Math.max(now / 1000 - Number(time.dataset.age), 0));
    if (time.textContent !== text) time.textContent = text;
  }
  for (const progress of document.querySelectorAll("[data-progress]")) {
    const elapsed = Math.max((now - Number(progress.dataset.start)) / 1000, 0);
    progress.querySelector("[data-elapsed]").textContent = describeSeconds(elapsed);
    const usual = Number(progress.dataset.usual);
    if (usual) progress.querySelector("progress").value = Math.min(Math.round((elapsed / usual) * 100), 95);
  }
}

const thumbnails = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    entry.target.src = entry.target.dataset.src;
    thumbnails.unobserve(entry.target);
  }
}, { rootMargin: "200px" });

function watchThumbnails() {
  document.querySelectorAll("video[data-src]:not([src])").forEach((video) => thumbnails.observe(video));
}

document.addEventListener("input", (event) => {
  const id = event.target.dataset.search;
  if (!id) return;
  const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const item of document.getElementById(id).children) {
    const text = item.dataset.text.toLowerCase();
    item.hidden = !words.every((word) => text.includes(word));
  }
  countRows();
});

setInterval(tick, 1000);
watchThumbnails();
connect();
