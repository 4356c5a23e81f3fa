// The queue and its cases with the keyboard. Whatever is done is a form of the page: a key presses its button. On the page
// of a case the answer, which is the next case, takes the place of this one without loading everything again.
const KEYS = { f: "fraud", l: "legitimate", u: "unsure", e: "escalate", s: "skip" };
const LATER = 200;
const MOMENT = 10_000; // so long an act can be taken back

const main = () => document.querySelector("main");
const links = () => [...document.querySelectorAll("#cases .row-link, .case-items .row-link")];
const boxes = () => [...document.querySelectorAll("#cases input[name=case], .case-items input[name=row]")];
const typing = (one) => one?.matches?.("input:not([type=checkbox]), textarea, select, [contenteditable]");

const rowOf = (one) => one?.closest("tr");
let at = null; // the row that the keys are at

const go = (row) => {
  at?.classList.remove("at");
  at = row;
  if (!row) return;
  row.classList.add("at");
  row.querySelector(".row-link")?.focus({ preventScroll: true });
  row.scrollIntoView({ block: "nearest" });
};

const step = (by) => {
  const rows = links().map(rowOf);
  const here = rows.indexOf(rowOf(document.activeElement) ?? at);
  go(rows[Math.min(Math.max(here + by, 0), rows.length - 1)]);
};

const mark = (row) => {
  const box = row?.querySelector("input[type=checkbox]");
  if (box) box.checked = !box.checked;
};

// What is chosen; where nothing is, the row that the keys are at.
const decideList = (decision) => {
  const form = document.getElementById("cases");
  if (!form) return;
  if (!boxes().some((box) => box.checked)) {
    const row = rowOf(document.activeElement)?.querySelector("input[name=case]") ? rowOf(document.activeElement) : at;
    const box = row?.querySelector("input[name=case]");
    if (!box) return;
    box.checked = true;
  }
  form.querySelector(`button[value=${decision}]`)?.click();
};

// What lies around a case takes the ledger some time, which who decides at once needn't wait for.
const around = async () => {
  const place = document.querySelector("#around[data-source]");
  if (!place) return;
  await new Promise((later) => setTimeout(later, LATER));
  if (!place.isConnected) return;
  try {
    const answer = await fetch(place.dataset.source);
    if (!answer.ok || answer.redirected || !place.isConnected) return; // the link in its place leads there
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    place.replaceChildren(...page.body.childNodes);
    place.removeAttribute("data-source");
  } catch {
    // as above
  }
};

const fade = () => {
  const undo = document.getElementById("undo");
  if (undo) setTimeout(() => undo.isConnected && undo.remove(), MOMENT - (Date.now() - new Date(undo.dataset.until)));
};

let busy = false;
const send = async (form, button) => {
  if (busy) return;
  busy = true;
  const body = new URLSearchParams(new FormData(form, button));
  const address = button?.getAttribute("formaction") ?? form.action;
  let answer = null;
  try {
    answer = await fetch(address, { method: "POST", body, headers: { Accept: "text/html", Prefer: "return=representation" } });
  } catch {
    // the server isn't there: the browser says so
  }
  busy = false;
  if (!answer) return form.requestSubmit(button);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const next = page.querySelector("main");
  if (!next) return location.assign(answer.url);
  if (answer.ok) history.pushState({ case: true }, "", answer.headers.get("Content-Location") ?? answer.url);
  document.title = page.title;
  main().replaceChildren(...next.childNodes);
  scrollTo(0, 0);
  begin();
  if (!at) main().focus({ preventScroll: true });
};

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!main().contains(form) || form.method !== "post" || !form.action.includes("/review")) return;
  if (form.dataset.plain !== undefined) return;
  event.preventDefault();
  send(form, event.submitter);
});
addEventListener("popstate", () => location.reload());

document.addEventListener("click", (event) => {
  if (event.target.closest?.(".keys-open")) document.getElementById("keys")?.showModal();
});

const press = (selector) => {
  const button = document.querySelector(selector);
  button?.click();
  return Boolean(button);
};

const onKey = (key) => {
  const list = document.getElementById("cases");
  if (key === "j" || key === "k") return step(key === "j" ? 1 : -1);
  if (key === "x") return mark(rowOf(document.activeElement) ?? at);
  if (key === "z") return press("#undo button");
  if (key === "t") return press("#take-next");
  if (key === "?") return document.getElementById("keys")?.showModal();
  if (key === "n") return document.getElementById("note")?.focus();
  if (key === "c") {
    const same = rowOf(document.activeElement)?.querySelector("[data-same]") ?? at?.querySelector("[data-same]");
    if (same) return location.assign(same.dataset.same);
    return press("#same");
  }
  if (key === "Enter") return at?.querySelector(".row-link")?.click();
  if (!KEYS[key]) return false;
  if (list) return key === "s" ? false : decideList(KEYS[key]);
  const named = key === "e" || key === "s" ? `#decide button[aria-keyshortcuts=${key}]` : `#decide button[value=${KEYS[key]}]`;
  return press(named);
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || document.querySelector("dialog[open]")) return;
  if (typing(event.target)) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.key === "Enter" && event.target !== document.body && event.target !== main()) return; // a link or a button
  const known = "jkxzt?nc".includes(event.key) || event.key === "Enter" || KEYS[event.key];
  if (!known) return;
  event.preventDefault();
  onKey(event.key);
});

const begin = () => {
  at = null;
  around();
  fade();
  if (document.getElementById("cases")) go(rowOf(links()[0]));
};
begin();
