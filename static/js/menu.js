// The account menu is a <details>: it opens without script. This only closes it on Escape and on a click elsewhere.
const menu = document.querySelector("details.user");

const close = (focus) => {
  menu.open = false;
  if (focus) menu.querySelector("summary").focus();
};

if (menu) {
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && menu.open) close(menu.contains(document.activeElement));
  });
  document.addEventListener("click", (event) => {
    if (menu.open && !menu.contains(event.target)) close(false);
  });
}

// On a narrow screen the links scroll sideways: the page that is open must be among those that are seen.
document.querySelector("nav [aria-current=page]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
