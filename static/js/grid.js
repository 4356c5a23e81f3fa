// Rows of a screening: j and k go from row to row, Enter opens one in a drawer beside the list. The drawer shows the
// row's own page, and its address appears in the address of the list, so that it can be sent and comes back on reload.
// Without script the links lead to that page.
const OPEN = "open";
const AGAIN_MS = 1000;

// Rows stay as high or low as they were left; theme.js sets it before the first paint.
const compact = () => document.documentElement.classList.contains("rows-compact");
const tellDensity = () => {
  for (const button of document.querySelectorAll(".density")) button.setAttribute("aria-pressed", String(compact()));
};
document.addEventListener("click", (event) => {
  if (!event.target.closest?.(".density")) return;
  document.documentElement.classList.toggle("rows-compact");
  tellDensity();
  try {
    localStorage.setItem("rows", compact() ? "compact" : "usual");
  } catch {
    // storage is shut: it holds for this page
  }
});
document.addEventListener("htmx:afterSwap", tellDensity);
tellDensity();

const links = () => [...document.querySelectorAll("#rows .row-link")];

const drawer = document.createElement("dialog");
drawer.className = "drawer";
drawer.setAttribute("aria-label", "Row");
const close = document.createElement("button");
close.type = "button";
close.className = "drawer-close";
close.textContent = "Close";
const body = document.createElement("div");
body.className = "drawer-body";
drawer.append(close, body);
document.body.append(drawer);
let from = null; // the link that opened it
let again = 0;

const remember = (number) => {
  const here = new URL(location.href);
  if (number) here.searchParams.set(OPEN, number);
  else here.searchParams.delete(OPEN);
  history.replaceState(history.state, "", here);
};

const rowOf = (address) => new URL(address, location.href).pathname.match(/\/results\/[^/]+\/rows\/(\d+)$/)?.[1];

// A row's own page leads to its neighbours in the file; beside a list, to those in the list's order.
const followList = (address) => {
  const all = links();
  const at = all.findIndex((link) => rowOf(link.href) === rowOf(address));
  const nav = body.querySelector("nav[aria-label=Rows]");
  if (at < 0 || !nav) return;
  from = all[at];
  const steps = [["Previous", "prev", all[at - 1]], ["Next", "next", all[at + 1]]];
  nav.replaceChildren(...steps.map(([word, rel, to]) => {
    const one = document.createElement(to ? "a" : "span");
    one.className = to ? "btn btn-sm btn-quiet" : "btn btn-sm btn-quiet disabled";
    one.textContent = word;
    if (to) Object.assign(one, { href: to.href, rel, ariaLabel: `${word} row of the list` });
    else one.ariaHidden = "true";
    return one;
  }));
};

const show = async (address) => {
  let answer;
  try {
    answer = await fetch(address, { headers: { Accept: "text/html" } });
  } catch {
    answer = null;
  }
  if (!answer?.ok || answer.redirected) {
    location.assign(address); // the page itself says what is wrong, or asks for a log-in
    return;
  }
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  body.replaceChildren(...page.querySelector("main").childNodes);
  followList(address);
  if (!drawer.open) drawer.showModal();
  body.scrollTop = 0;
  remember(rowOf(address));
  clearTimeout(again);
  if (body.querySelector("[data-again]")) again = setTimeout(() => drawer.open && show(address), AGAIN_MS); // not all is there yet
};

const plain = (event) => event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("a[href]");
  if (!link || !plain(event) || !rowOf(link.href)) return;
  const inList = link.classList.contains("row-link");
  if (!inList && !drawer.contains(link)) return;
  event.preventDefault();
  if (inList) from = link;
  show(link.href);
});

close.addEventListener("click", () => drawer.close());
drawer.addEventListener("click", (event) => {
  if (event.target === drawer) drawer.close(); // the ground beside it
});
drawer.addEventListener("close", () => {
  remember(null);
  (from?.isConnected ? from : links()[0])?.focus();
});

const step = (by) => {
  const all = links();
  const at = all.indexOf(document.activeElement);
  all[Math.min(Math.max(at + by, 0), all.length - 1)]?.focus();
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches?.("input, textarea, select")) return;
  const by = { j: 1, k: -1 }[event.key];
  if (!by) return;
  event.preventDefault();
  if (drawer.open) body.querySelector(by > 0 ? "[rel=next]" : "[rel=prev]")?.click();
  else step(by);
});

const wanted = new URL(location.href).searchParams.get(OPEN);
if (wanted && /^\d+$/.test(wanted)) show(`${location.pathname.replace(/\/$/, "")}/rows/${wanted}`);
