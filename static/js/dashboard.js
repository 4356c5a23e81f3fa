// Starts Dash on the dashboard, and does what needs the page: colours by the theme, filters in the address, marks that
// lead to their rows. Loaded after Dash's own scripts; all of them are files, so the policy for scripts stays as it is.
(() => {
  const entry = document.getElementById("react-entry-point");
  const form = document.getElementById("filters");
  if (!entry || !form || !window.DashRenderer) return;

  const LAYOUT = "/_dash-layout";
  const FIGURES = "/_dash-update-component";
  const LIST = "/explore/transactions";

  // A chart names its colours as the style sheet does; the page knows what they are now.
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);
  let known = new Map();

  const colour = (name) => {
    if (!known.has(name)) {
      probe.style.color = `var(${name})`;
      known.set(name, getComputedStyle(probe).color);
    }
    return known.get(name);
  };

  const painted = (part) => {
    if (typeof part === "string") return part.startsWith("--") ? colour(part) : part;
    if (Array.isArray(part)) return part.map(painted);
    if (part === null || typeof part !== "object") return part;
    return Object.fromEntries(Object.entries(part).map(([name, value]) => [name, painted(value)]));
  };

  // Figures of filters before must not stand there as if they were of these.
  const tell = (words, link) => {
    let notice = document.getElementById("board-trouble");
    if (!notice) {
      notice = Object.assign(document.createElement("div"), { id: "board-trouble", className: "notice notice-error mb-3" });
      notice.setAttribute("role", "alert");
      entry.before(notice);
    }
    const text = Object.assign(document.createElement("p"), { textContent: `${words} ` });
    if (link) text.append(Object.assign(document.createElement("a"), { href: link, textContent: "Log in" }));
    notice.replaceChildren(text);
  };

  const waits = (on) => {
    entry.classList.toggle("board-stale", on);
    entry.setAttribute("aria-busy", String(on));
  };

  // What the board shows, by the name of its panel: a figure, and a table that is made when it is opened.
  let board = {};
  let undrawn = new Set();
  let queued = false;
  const near = new Set();

  const part = (name, what) => document.getElementById(`${name}-${what}`);

  const draw = (name) => {
    undrawn.delete(name);
    const graph = board[name].graph;
    const className = graph ? "board-box" : "board-box board-none";
    window.dash_clientside.set_props(`${name}-box`, { className, children: graph ? [painted(graph)] : [] });
  };

  // What is on the screen is drawn first; then one chart at a time, whenever nobody does anything.
  const whenIdle = window.requestIdleCallback ?? ((then) => setTimeout(then, 50));
  const drawRest = () => {
    if (queued || undrawn.size === 0) return;
    queued = true;
    whenIdle(() => {
      queued = false;
      const [next] = undrawn;
      if (next !== undefined) draw(next);
      drawRest();
    });
  };

  const seen = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const name = target.id.replace(/-box$/, "");
      if (isIntersecting) near.add(name);
      else near.delete(name);
      if (isIntersecting && undrawn.has(name)) draw(name);
    }
    drawRest();
  });

  const cell = (kind, content, attributes) => {
    const made = Object.assign(document.createElement(kind), attributes);
    const [text, href] = Array.isArray(content) ? content : [content, null];
    if (href) made.append(Object.assign(document.createElement("a"), { href, textContent: text }));
    else made.textContent = text;
    return made;
  };

  const tabulate = (name) => {
    const { head, rows } = board[name] ?? { head: [], rows: [] };
    const place = part(name, "table");
    if (rows.length === 0) {
      place.replaceChildren(cell("p", "Nothing to list.", { className: "small soft" }));
      return;
    }
    const table = Object.assign(document.createElement("table"), { className: "plain" });
    head.forEach((word, at) => {
      table.tHead ?? table.createTHead().insertRow();
      table.tHead.rows[0].append(cell("th", word, { scope: "col", className: at ? "number" : "" }));
    });
    const body = table.createTBody();
    for (const [first, ...others] of rows) {
      body.insertRow().append(
        cell("th", first, { scope: "row" }),
        ...others.map((content) => cell("td", content, { className: "number" })),
      );
    }
    const scroll = Object.assign(document.createElement("div"), { className: "scroll", tabIndex: 0 });
    scroll.setAttribute("role", "group");
    scroll.setAttribute("aria-label", `${part(name, "title").textContent}: table`);
    scroll.append(table);
    place.replaceChildren(scroll);
  };

  const show = (data) => {
    board = data ?? {};
    undrawn = new Set(Object.keys(board));
    for (const box of entry.querySelectorAll(".board-box")) {
      const name = box.id.replace(/-box$/, "");
      seen.observe(box); // it tells whether the box is in sight, the first time at once
      const details = part(name, "details");
      details.ontoggle = () => details.open && tabulate(name);
      if (details.open) tabulate(name);
      if (!board[name]) window.dash_clientside.set_props(`${name}-box`, { className: "board-box board-waits" });
      else if (near.has(name)) draw(name);
    }
    drawRest();
    waits(false);
  };

  const go = (target) => {
    if (typeof target !== "string") return;
    if (target.startsWith("#")) {
      const table = document.getElementById(target.slice(1));
      const details = table?.closest("details");
      if (details && !details.open) {
        details.open = true;
        tabulate(table.id.replace(/-table$/, ""));
      }
      table?.scrollIntoView({ block: "nearest" });
    } else if (target.includes(LIST)) {
      location.assign(target);
    }
  };

  window.dash_clientside = Object.assign(window.dash_clientside ?? {}, {
    dashboard: {
      show,
      follow: (clicked) => go(clicked?.points?.[0]?.customdata),
    },
  });

  // Dash throws if it is told something before its layout has come: what is said earlier waits for that.
  const waiting = new Map();
  const drawn = () => document.getElementById("trends-box") !== null;

  const setProps = (id, props) => {
    if (drawn()) window.dash_clientside.set_props(id, props);
    else waiting.set(id, props);
  };

  const drawing = new MutationObserver(() => {
    if (!drawn()) return;
    drawing.disconnect();
    for (const [id, props] of waiting) window.dash_clientside.set_props(id, props);
  });
  drawing.observe(entry, { childList: true, subtree: true });

  let theme = document.documentElement.dataset.bsTheme;
  new MutationObserver(() => {
    if (document.documentElement.dataset.bsTheme === theme) return; // it is set again on each load, mostly to the same
    theme = document.documentElement.dataset.bsTheme;
    known = new Map();
    setProps("theme", { data: theme });
  }).observe(document.documentElement, { attributeFilter: ["data-bs-theme"] });

  const send = window.fetch.bind(window);
  window.fetch = async (address, options = {}) => {
    const url = typeof address === "string" ? address : address.url;
    const first = url.endsWith(LAYOUT);
    if (!first && !url.includes(FIGURES)) return send(address, options);
    const headers = new Headers(options.headers);
    headers.set("X-CSRFToken", entry.dataset.token); // as every request here that isn't a GET
    waits(true);
    try {
      // the layout comes with the figures of this address: the head of the page has asked for it
      const answer = await (first ? send(entry.dataset.layout) : send(address, { ...options, headers }));
      if (answer.ok) {
        document.getElementById("board-trouble")?.remove();
        return answer;
      }
      if (answer.status === 401) {
        tell("You are logged out, and these figures are not of the filters that are set.", entry.dataset.logIn);
      } else {
        tell("The figures could not be counted; those that are shown are not of the filters that are set. Load the page again.");
      }
    } catch {
      tell("The server can't be reached; the figures that are shown are not of the filters that are set. Load the page again.");
    }
    return new Promise(() => {}); // Dash goes on waiting, as the reader does; the next question takes its place
  };

  const search = () => {
    const query = new URLSearchParams();
    for (const [name, value] of new FormData(form)) {
      const field = form.elements.namedItem(name);
      const usual = field instanceof HTMLSelectElement && value === field.options[0].value;
      if (value && !usual) query.set(name, value);
    }
    const text = query.toString();
    return text ? `?${text}` : "";
  };

  const link = () => {
    const rows = new URLSearchParams(location.search);
    rows.delete("interval");
    const all = document.getElementById("all-rows");
    all.search = rows.toString();
  };

  const apply = () => {
    setProps("address", { search: search() });
    setTimeout(link, 0);
  };

  form.addEventListener("change", apply);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    apply();
  });
  addEventListener("popstate", () => {
    const query = new URLSearchParams(location.search);
    for (const field of form.elements) {
      if (field.name) field.value = query.get(field.name) ?? (field.options ? field.options[0].value : "");
    }
    link();
  });

  // An address that names a part of the page leads there also once the charts above it have their room.
  const aim = location.hash && document.getElementById(location.hash.slice(1));
  if (aim) {
    const keep = new ResizeObserver(() => aim.scrollIntoView({ behavior: "instant" }));
    keep.observe(entry);
    const leave = () => keep.disconnect();
    for (const act of ["wheel", "touchstart", "pointerdown", "keydown"]) addEventListener(act, leave, { once: true, passive: true });
  }

  new window.DashRenderer({});
})();
