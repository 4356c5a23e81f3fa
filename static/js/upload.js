// Sends the file with a progress bar, takes it by drop, and shows what is wrong with it beside the form.
// Without this script the same form sends the file in the plain way.
const form = document.getElementById("upload");
const field = document.getElementById("file");
const drop = document.getElementById("drop");
const chosen = document.getElementById("chosen");
const errors = document.getElementById("errors");
const sending = document.getElementById("sending");
const bar = document.getElementById("sending-bar");
const what = document.getElementById("sending-what");
const howFar = document.getElementById("sending-how-far");
const send = document.getElementById("send");
const PATIENCE_S = 2;
const plainNumber = new Intl.NumberFormat("en");

const size = (bytes) => {
  let left = bytes;
  for (const unit of ["bytes", "kB", "MB", "GB"]) {
    if (left < 1000 || unit === "GB") return `${unit === "bytes" ? left : left.toFixed(1)} ${unit}`;
    left /= 1000;
  }
};

const showChosen = () => {
  const file = field.files[0];
  chosen.textContent = file ? `${file.name}, ${size(file.size)}` : "";
};

const take = (files) => {
  const one = new DataTransfer(); // the field holds one file, however many were dropped
  one.items.add(files[0]);
  field.files = one.files;
  showChosen();
  if (files.length > 1) chosen.textContent += ` (only this one of the ${files.length} files; send the others after it)`;
  send.focus();
};

const cell = (row, text, isNumber) => {
  const td = row.insertCell();
  td.textContent = text === "" ? "(empty)" : text ?? "–";
  if (isNumber) td.className = "number";
};

const fillProblems = (panel, problems, count) => {
  const box = panel.querySelector(".scroll");
  if (!problems.length) return box.remove();
  box.querySelector("caption").textContent = count > problems.length
    ? `The first ${problems.length} of ${plainNumber.format(count)} problems`
    : `${problems.length} problem${problems.length === 1 ? "" : "s"}`;
  for (const problem of problems) {
    const row = box.querySelector("tbody").insertRow();
    cell(row, problem.row && plainNumber.format(problem.row), true);
    cell(row, problem.line && plainNumber.format(problem.line), true);
    cell(row, problem.column);
    cell(row, problem.value);
    cell(row, problem.problem);
  }
};

const showError = (error) => {
  const panel = document.getElementById("error-template").content.cloneNode(true);
  for (const name of ["title", "what", "where", "remedy"]) {
    const place = panel.querySelector(`[data-of="${name}"]`);
    if (error[name]) place.textContent = error[name];
    else if (place.tagName === "DD") (place.previousElementSibling.remove(), place.remove());
  }
  const mapping = panel.querySelector("[data-mapping]");
  if (error.mapping) {
    mapping.hidden = false;
    mapping.firstElementChild.href = error.mapping;
    if (error.card_columns) mapping.firstElementChild.textContent = "See the choices";
    else if (error.questions) mapping.firstElementChild.textContent = "Answer the question";
  } else mapping?.remove();
  fillProblems(panel, error.errors ?? [], error.error_count ?? 0);
  errors.replaceChildren(panel);
  errors.firstElementChild.focus();
};

const setBusy = (busy) => {
  sending.hidden = !busy;
  send.disabled = busy;
  form.setAttribute("aria-busy", String(busy));
};

const lost = {
  title: "The file was not sent",
  what: "The connection was lost, or the server refused to take the file. Nothing was scored.",
  remedy: "Check the connection and send the file again.",
};

const onProgress = (event) => {
  if (!event.lengthComputable) return;
  bar.value = event.loaded / event.total;
  howFar.textContent = `${size(event.loaded)} of ${size(event.total)}`;
  what.textContent = event.loaded < event.total ? "Sending" : "Sent; the first rows are being checked";
};

const onAnswer = (request) => {
  const answer = request.response ?? {};
  if (request.status >= 200 && request.status < 300 && answer.location) return location.assign(answer.location);
  setBusy(false);
  if (request.status === 401) return location.assign(form.dataset.login);
  const said = answer.what ?? answer.detail ?? `The server answered ${request.status}.`;
  showError(request.status ? { title: "This file can't be screened", ...answer, what: said } : lost);
};

const tooLarge = (file) => {
  const most = Number(form.dataset.mostMb);
  return most && file.size > most * 2 ** 20 && {
    title: "This file is too large",
    what: `${file.name} has ${size(file.size)}; at most ${plainNumber.format(most)} MB are taken.`,
    remedy: "Split it into parts, or gzip it: a .csv.gz is usually a third as large.",
  };
};

const submit = (event) => {
  const file = field.files[0];
  if (!file) return; // the browser says so itself
  event.preventDefault();
  errors.replaceChildren();
  const refused = tooLarge(file);
  if (refused) return showError(refused);
  const request = new XMLHttpRequest();
  request.open("POST", form.action);
  request.responseType = "json";
  request.setRequestHeader("Accept", "application/json");
  request.setRequestHeader("Prefer", `wait=${PATIENCE_S}`); // beyond that, the result page shows how far it is
  request.setRequestHeader("X-CSRFToken", form.elements.csrf_token.value);
  request.upload.addEventListener("progress", onProgress);
  request.addEventListener("load", () => onAnswer(request));
  request.addEventListener("error", () => (setBusy(false), showError(lost)));
  request.addEventListener("abort", () => setBusy(false));
  document.getElementById("cancel").onclick = () => request.abort();
  bar.value = 0;
  setBusy(true);
  request.send(new FormData(form));
};

const isFile = (event) => event.dataTransfer?.types.includes("Files");

// The whole window takes the file: one that misses the frame must not replace the page.
addEventListener("dragover", (event) => {
  if (!isFile(event)) return;
  event.preventDefault();
  drop.classList.add("over");
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) drop.classList.remove("over");
});
addEventListener("drop", (event) => {
  if (!isFile(event)) return;
  event.preventDefault();
  drop.classList.remove("over");
  if (sending.hidden && event.dataTransfer.files.length) take(event.dataTransfer.files);
});
addEventListener("pageshow", () => setBusy(false)); // back from the result: the form is free again
const check = document.getElementById("check"); // where a training file is sent, there is none
const screenWord = send.textContent;
const nameTheButton = () => (send.textContent = check?.checked ? send.dataset.check : screenWord);

addEventListener("pageshow", nameTheButton); // after the browser has filled the form in again
check?.addEventListener("change", nameTheButton);
field.addEventListener("change", showChosen);
form.addEventListener("submit", submit);
showChosen();
