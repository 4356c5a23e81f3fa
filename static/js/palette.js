// The command palette (Ctrl-K): goes to a page by a part of its name, or finds an id with the search of the bar.

const words = (text) => text.toLowerCase().split(/\s+/).filter(Boolean);

export const palette = (dialog, search) => {
  if (!dialog?.showModal) return;
  const input = dialog.querySelector("input");
  const list = dialog.querySelector("ul");
  const pages = [...list.children];
  const find = document.createElement("li");
  find.setAttribute("role", "option");
  find.append(document.createElement("a"));
  find.firstChild.tabIndex = -1;
  if (search) list.append(find);

  const offered = () => [...list.children].filter((one) => !one.hidden);

  const choose = (one) => {
    for (const each of list.children) each.setAttribute("aria-selected", String(each === one));
    pages.concat(find).forEach((each, at) => { each.id = `palette-${at}`; });
    if (one) input.setAttribute("aria-activedescendant", one.id);
    one?.scrollIntoView({ block: "nearest" });
  };

  const narrow = () => {
    const wanted = words(input.value);
    for (const page of pages) {
      const text = page.textContent.toLowerCase();
      page.hidden = !wanted.every((word) => text.includes(word));
    }
    find.hidden = !input.value.trim();
    find.firstChild.textContent = `Find “${input.value.trim()}”`;
    if (search) {
      const target = new URL(search.action);
      target.searchParams.set("q", input.value.trim());
      find.firstChild.href = target.href;
    }
    choose(offered()[0]);
  };

  const step = (by) => {
    const all = offered();
    const at = all.findIndex((one) => one.getAttribute("aria-selected") === "true");
    choose(all[(at + by + all.length) % all.length]);
  };

  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
    event.preventDefault();
    if (dialog.open) return dialog.close();
    input.value = "";
    dialog.showModal();
    narrow();
  });
  input.addEventListener("input", narrow);
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      step(event.key === "ArrowDown" ? 1 : -1);
    } else if (event.key === "Enter") {
      event.preventDefault();
      list.querySelector("[aria-selected=true] a")?.click();
    }
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // the ground around it
  });
};
