// Light, dark, or as the system says. Loaded in <head> without defer, so that the first paint is already right;
// everything that needs the page waits for it. The width of the rail is set here for the same reason.
(() => {
  const KEY = "theme";
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");

  const wanted = () => {
    try {
      return localStorage.getItem(KEY) || "auto";
    } catch {
      return "auto"; // storage is shut: the system's wish holds
    }
  };

  const show = () => {
    const choice = wanted();
    root.dataset.bsTheme = choice === "auto" ? (dark.matches ? "dark" : "light") : choice;
    for (const button of document.querySelectorAll("[data-theme-choice]")) {
      button.setAttribute("aria-pressed", String(button.dataset.themeChoice === choice));
    }
  };

  const choose = (choice) => {
    try {
      localStorage.setItem(KEY, choice);
    } catch {
      root.dataset.bsTheme = choice; // holds for this page at least
    }
    show();
  };

  root.classList.add("js");
  try {
    root.classList.toggle("rail-narrow", localStorage.getItem("rail") === "narrow");
    root.classList.toggle("rows-compact", localStorage.getItem("rows") === "compact");
  } catch {
    // storage is shut: the rail is wide, and so are rows
  }
  show();
  dark.addEventListener("change", show);
  document.addEventListener("DOMContentLoaded", () => {
    show();
    for (const button of document.querySelectorAll("[data-theme-choice]")) {
      button.addEventListener("click", () => choose(button.dataset.themeChoice));
    }
  });
})();
