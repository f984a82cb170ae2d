// Forms: uploads with previews, items of lists, sliders, counters, and the names of the fields that were used.
"use strict";

const PREVIEWS = { image: "img", video: "video", audio: "audio" };

function renewAttempt() {
  const attempt = document.querySelector('[name="-attempt"]');
  if (!attempt) return;
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  attempt.value = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function touch(control) {
  const touched = document.querySelector('[name="-touched"]');
  if (!touched || !control.name || control.name.startsWith("-")) return;
  const names = new Set(touched.value.split(" ").filter(Boolean));
  touched.value = [...names.add(control.name)].join(" ");
}

function announce(control) {
  control.dispatchEvent(new Event("input", { bubbles: true }));
}

function showPreview(drop) {
  const text = drop.querySelector("input[type=text]").value.trim();
  const preview = drop.querySelector("[data-preview]");
  preview.replaceChildren();
  if (!text.startsWith("upload:")) return;
  const media = document.createElement(PREVIEWS[drop.dataset.drop] || "span");
  if (media.tagName === "IMG") media.alt = "Preview";
  else media.controls = true;
  media.src = `/uploads/${encodeURIComponent(text.slice(7))}`;
  preview.append(media);
}

async function sendFile(drop, file) {
  const note = drop.querySelector("[data-note]");
  const control = drop.querySelector("input[type=text]");
  note.classList.remove("bad");
  note.textContent = `Storing ${file.name} …`;
  try {
    const response = await fetch("/uploads", {
      method: "POST",
      body: file,
      headers: { "Content-Type": "application/octet-stream", "X-File-Name": encodeURIComponent(file.name) },
    });
    const answer = await response.json();
    if (!response.ok) throw new Error(answer.error);
    control.value = `upload:${answer.id}`;
    note.textContent = `${file.name}, ${answer.text}. It is sent to the gateway when the job is.`;
    showPreview(drop);
    announce(control);
  } catch (error) {
    note.classList.add("bad");
    note.textContent = error.message || "The file could not be stored. Try it again.";
  }
}

function addItem(button) {
  const list = button.parentElement;
  const template = list.querySelector(":scope > template");
  list.count = Math.max(list.count || 0, list.querySelectorAll(":scope > [data-items] > li").length);
  const holder = document.createElement("template");
  holder.innerHTML = template.innerHTML.replaceAll(template.dataset.index, list.count++);
  const item = holder.content.firstElementChild;
  list.querySelector(":scope > [data-items]").append(item);
  const first = item.querySelector("input:not([type=hidden]), textarea, select");
  if (first) {
    first.focus();
    announce(first);
  }
}

function removeItem(button) {
  const list = button.closest("fieldset.list");
  button.closest(".item").remove();
  list.querySelector(":scope > [data-add]").focus();
  list.dispatchEvent(new Event("input", { bubbles: true }));
}

function markInvalid() {
  for (const problem of document.querySelectorAll(".problem")) {
    const id = problem.id.slice("problem-".length);
    const control = id && document.getElementById(id);
    if (control && control.matches("input, textarea, select")) {
      control.toggleAttribute("aria-invalid", false);
      if (problem.childElementCount) control.setAttribute("aria-invalid", "true");
    }
  }
}

function focusFirstProblem() {
  const problem = [...document.querySelectorAll(".problem")].find((one) => one.childElementCount);
  const field = problem && problem.closest(".field");
  const control = field && field.querySelector("input:not([type=hidden]):not([type=range]), textarea, select, button");
  if (control) control.focus();
}

document.addEventListener("input", (event) => {
  const control = event.target;
  renewAttempt();
  // Here, not when the answer to the check arrives: that may come after the question about the price.
  const confirm = document.getElementById("confirm");
  if (confirm) confirm.replaceChildren();
  if (control.dataset.slider) {
    const number = document.getElementById(control.dataset.slider);
    number.value = control.value;
    touch(number);
  } else {
    touch(control);
  }
  const slider = control.id && document.querySelector(`[data-slider="${CSS.escape(control.id)}"]`);
  if (slider && control.value.trim()) slider.value = control.value;
  const counter = control.id && document.querySelector(`[data-counter="${CSS.escape(control.id)}"]`);
  if (counter) {
    const length = [...control.value].length;
    counter.textContent = `${length} / ${counter.dataset.limit}`;
    counter.classList.toggle("over", length > Number(counter.dataset.limit));
  }
  const drop = control.closest("[data-drop]");
  if (drop && control.type === "text") showPreview(drop);
});

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if ("add" in button.dataset) addItem(button);
  if ("remove" in button.dataset) removeItem(button);
  if ("pick" in button.dataset) button.closest("[data-drop]").querySelector("[data-file]").click();
  if (button.dataset.copy) {
    navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  }
});

document.addEventListener("change", (event) => {
  if ("file" in event.target.dataset) {
    const drop = event.target.closest("[data-drop]");
    if (event.target.files[0]) sendFile(drop, event.target.files[0]);
    event.target.value = "";
  }
  const form = event.target.closest("[data-autosubmit]");
  if (form) form.requestSubmit();
});

for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    const drop = event.target.closest && event.target.closest("[data-drop]");
    if (!drop) return;
    event.preventDefault();
    drop.classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files[0]) sendFile(drop, event.dataTransfer.files[0]);
  });
}

// After a run was tried, every missing parameter is reported. A check that was sent before does not know that.
document.addEventListener("submit", (event) => {
  if (event.target.id === "form") document.querySelector('[name="-touched"]').value = "*";
});

document.addEventListener("htmx:beforeSwap", (event) => {
  const { elt, requestConfig } = event.detail;
  if (elt.id !== "check") return;
  const touched = document.querySelector('[name="-touched"]').value;
  if (touched.includes("*") && !requestConfig.formData.get("-touched").includes("*")) event.detail.shouldSwap = false;
});

document.addEventListener("htmx:afterRequest", (event) => {
  markInvalid();
  if (event.detail.elt.id === "form") {
    if (event.detail.xhr.getResponseHeader("HX-Redirect")) return;
    renewAttempt();
    const confirm = document.querySelector("#confirm button");
    if (confirm) confirm.focus();
    else focusFirstProblem();
  }
});

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("[data-drop]").forEach(showPreview);
  markInvalid();
});
window.addEventListener("pageshow", (event) => { if (event.persisted) renewAttempt(); });
