// The frame of the pages. All of it works without script but for the palette: menus are <details>, the search is a form.
import { palette } from "./palette.js";

const typing = (one) => one?.matches?.("input, textarea, select, [contenteditable]");

// Menus close on Escape and on a click elsewhere.
for (const menu of document.querySelectorAll("details.user, details.rail-more, details.menu")) {
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    const inside = menu.contains(document.activeElement);
    menu.open = false;
    if (inside) menu.querySelector("summary").focus();
  });
  document.addEventListener("click", (event) => {
    if (menu.open && !menu.contains(event.target)) menu.open = false;
  });
}

// The rail stays as narrow or wide as it was left; theme.js sets it before the first paint.
const fold = document.querySelector(".rail-fold");
const narrow = () => document.documentElement.classList.contains("rail-narrow");
fold?.setAttribute("aria-pressed", String(narrow()));
fold?.addEventListener("click", () => {
  document.documentElement.classList.toggle("rail-narrow");
  fold.setAttribute("aria-pressed", String(narrow()));
  try {
    localStorage.setItem("rail", narrow() ? "narrow" : "wide");
  } catch {
    // storage is shut: it holds for this page
  }
});

const search = document.getElementById("search");
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && search && !typing(event.target) && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    search.focus();
    search.select();
  }
});

palette(document.querySelector("dialog.palette"), search?.form);

// A strip of tabs scrolls sideways where it is too long: the page that is open must be among those that are seen.
document.querySelector(".tabs [aria-current=page]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
