// The live page: each event is the whole state of one experiment, so that nothing is lost while nobody was connected.
// What the reader has chosen, opened and scrolled to stays: elements are changed in place, new experiments put between.

const RETRY = 1500;
const CONNECTED = 4; // tabs; a browser opens six connections to a server, and a page beyond them would stay empty
const MEMORY = "archlab";
const pending = new Map();
let outdated = false;
let working = false;
let ended = false;
let source = null;

function connection(state, text) {
  const element = document.getElementById("connection");
  element.dataset.state = state;
  if (element.textContent !== text) element.textContent = text;
}

function inlined(node, pool) {
  if (node === null || typeof node !== "object") return node;
  if (Array.isArray(node)) return node.map((item) => inlined(item, pool));
  if (node.$ref !== undefined) {
    const entry = pool[node.$ref];
    return Array.isArray(entry) ? entry : entry.$switch !== undefined ? inlined(entry, pool) : decode(entry);
  }
  return Object.fromEntries(Object.entries(node).map(([name, value]) => [name, inlined(value, pool)]));
}

// Changing the page

function parsed(html) {
  return new DOMParser().parseFromString(html, "text/html"); // from this server, every name in it escaped
}

function become(element, goal) {
  // Makes an element like another one, and keeps what is alike: focus, scroll positions, what is opened.
  if (element.nodeName !== goal.nodeName) {
    element.replaceWith(document.importNode(goal, true));
    return;
  }
  if (element.nodeType === Node.TEXT_NODE) {
    if (element.data !== goal.data) element.data = goal.data;
    return;
  }
  for (const { name } of Array.from(element.attributes)) {
    if (!goal.hasAttribute(name) && name !== "open") element.removeAttribute(name);
  }
  for (const { name, value } of goal.attributes) {
    if (element.getAttribute(name) !== value && name !== "open") element.setAttribute(name, value);
  }
  const [here, there] = [Array.from(element.childNodes), Array.from(goal.childNodes)];
  there.forEach((child, place) => (here[place] ? become(here[place], child) : element.append(document.importNode(child, true))));
  here.slice(there.length).forEach((child) => child.remove());
}

function steadily(change) {
  // What the reader looks at stays where it is on the screen; at the very top, what is new comes into sight.
  const root = document.documentElement;
  const parts = Array.from(document.querySelectorAll("main h2, main h3, main .card, main figure"));
  const place = (part) => part.getBoundingClientRect();
  const begins = (part) => place(part).top >= 0 && place(part).top < innerHeight;
  const topmost = scrollY < 80 ? null : (parts.find(begins) ?? parts.find((part) => place(part).bottom > 0));
  const top = topmost && place(topmost).top;
  root.style.overflowAnchor = "none";
  change();
  if (topmost?.isConnected) scrollBy({ top: place(topmost).top - top, behavior: "instant" });
  requestAnimationFrame(() => requestAnimationFrame(() => root.style.removeProperty("overflow-anchor")));
}

function chartsIn(section) {
  return Array.from(section.querySelectorAll("figure.chart"), ({ dataset }) => `${dataset.panel} ${dataset.chart}`).join();
}

function takePanel(panel, element, news) {
  // A panel that is here, as it stands now.
  const notes = parsed('<div class="notes"></div>').body.firstChild;
  for (const note of news.notes) notes.append(Object.assign(document.createElement("p"), { className: "note", textContent: note }));
  become(element.querySelector(".notes"), notes);
  for (const figure of figures) {
    if (figure.panel !== panel) continue;
    const name = figure.element.dataset.chart;
    const description = figure.element.querySelector("figcaption p");
    figure.chart = panel.charts[name];
    if (description.textContent !== news.descriptions[name]) description.textContent = news.descriptions[name];
  }
}

async function take(board) {
  const section = document.getElementById(board.anchor);
  if (!section) return;
  const named = Object.entries(board.panels);
  if (chartsIn(section) !== named.flatMap(([name, news]) => Object.keys(news.charts).map((chart) => `${name} ${chart}`)).join()) {
    outdated = true; // a chart has come that the page has no place for yet
    return;
  }
  const goal = parsed(`<div class="standing">${board.standing}</div>`).body.firstChild;
  for (const [name, news] of named) {
    page.panels[name].charts = inlined(news.charts, board.pool);
    page.panels[name].controls = inlined(news.controls, board.pool); // a variant may have come
    page.panels[name].refill?.();
  }
  steadily(() => {
    become(section.querySelector(".standing"), goal);
    for (const [name, news] of named) {
      takePanel(page.panels[name], section.querySelector(`figure[data-panel="${name}"]`).closest(".panel"), news);
    }
  });
  const panels = named.map(([name]) => page.panels[name]);
  await redraw((figure) => panels.includes(figure.panel));
}

function adopt(section, data) {
  for (const { dataset } of section.querySelectorAll("figure.chart")) {
    page.panels[dataset.panel] = inlined(data.panels[dataset.panel], data.pool);
  }
  const adopted = document.importNode(section, true);
  startControls(adopted);
  return adopted;
}

function leave(section) {
  for (const figure of figures.filter((one) => section.contains(one.element))) {
    figures.splice(figures.indexOf(figure), 1);
    drawn.delete(figure);
    waiting.delete(figure);
  }
  section.remove();
}

async function refresh() {
  // Other experiments than those that are here: the page asks for itself, and takes over what differs.
  const fresh = parsed(await (await fetch(location.href)).text());
  const data = JSON.parse(fresh.getElementById("archlab-data").textContent);
  const [main, goal] = [document.querySelector("main"), fresh.querySelector("main")];
  steadily(() => {
    const wanted = Array.from(goal.children);
    for (const element of Array.from(main.children)) {
      if (!wanted.some((other) => other.id === element.id)) leave(element);
    }
    wanted.forEach((other, place) => {
      let element = document.getElementById(other.id);
      if (element?.matches("section") && chartsIn(element) !== chartsIn(other)) {
        leave(element);
        element = null;
      }
      const known = element !== null;
      element ??= other.matches("section") ? adopt(other, data) : document.importNode(other, true);
      if (main.children[place] !== element) main.insertBefore(element, main.children[place] ?? null);
      if (known && !other.matches("section")) become(element, other);
      if (known || !other.matches("section")) return;
      startCharts(element);
      restore(element);
    });
    main.dataset.total = goal.dataset.total;
    become(document.querySelector("nav"), fresh.querySelector("nav"));
    document.querySelector(".frame").className = fresh.querySelector(".frame").className;
    dispatchEvent(new Event("resize")); // beside contents there is less room for charts
  });
  followReading();
}

async function work() {
  // In the background nothing is drawn, and of each experiment only the last state is kept.
  if (working) return;
  working = true;
  while (!document.hidden && (outdated || pending.size)) {
    try {
      if (outdated) {
        outdated = false;
        await refresh();
        continue;
      }
      const [anchor, board] = pending.entries().next().value;
      pending.delete(anchor);
      await take(board);
    } catch (error) {
      connection("waiting", `This page can't be drawn: ${error.message}`);
    }
  }
  working = false;
}

// Hearing what is new

function connect() {
  source = new EventSource(`events${location.search}`);
  source.addEventListener("open", () => connection("live", "Live"));
  source.addEventListener("boards", (event) => {
    const { anchors, total } = JSON.parse(event.data);
    const here = Array.from(document.querySelectorAll("section.experiment"), (element) => element.id);
    outdated = JSON.stringify([here, document.querySelector("main").dataset.total]) !== JSON.stringify([anchors, String(total)]);
    work();
  });
  source.addEventListener("board", (event) => {
    const board = JSON.parse(event.data);
    pending.set(board.anchor, board);
    work();
  });
  source.addEventListener("end", (event) => {
    ended = true;
    disconnect();
    connection("ended", JSON.parse(event.data));
  });
  source.addEventListener("error", () => {
    // Browsers differ in whether they try again when the server is gone, so the page does it by itself.
    disconnect();
    connection("waiting", "The server is gone: trying again. What is shown is as it was last.");
    setTimeout(() => source || document.hidden || connect(), RETRY);
  });
}

function disconnect() {
  source.close();
  source = null;
}

function startSharing() {
  // Each tab that is open holds a share of one lock, so that they know how many they are.
  navigator.locks?.request(MEMORY, { mode: "shared" }, () => new Promise(() => {}));
  document.addEventListener("visibilitychange", async () => {
    if (!document.hidden) {
      if (!source && !ended) connect();
      work();
      return;
    }
    const tabs = (await navigator.locks?.query())?.held ?? [];
    if (document.hidden && source && tabs.length > CONNECTED) disconnect();
  });
}

// Remembering, in this tab, what the reader chose: for when the page is loaded again

function remembered() {
  try {
    return JSON.parse(sessionStorage.getItem(MEMORY)) ?? {};
  } catch {
    return {};
  }
}

function remember(choice) {
  try {
    sessionStorage.setItem(MEMORY, JSON.stringify({ ...remembered(), ...choice }));
  } catch {
    // the browser keeps nothing for pages
  }
}

function restore(root) {
  const choices = remembered();
  for (const form of root.querySelectorAll("form.controls")) {
    for (const [name, value] of Object.entries(choices[form.dataset.panel] ?? {})) {
      const element = form.elements.namedItem(name);
      if (!element) continue;
      if (element.type === "checkbox") element.checked = value === "on";
      else element.value = value;
      element.dispatchEvent(new Event("input", { bubbles: true }));
    }
  }
}

function startRemembering() {
  const { theme } = remembered();
  if (theme === "light" || theme === "dark") setTheme(theme);
  restore(document);
  document.getElementById("theme").addEventListener("click", () => remember({ theme: document.documentElement.dataset.theme }));
  document.addEventListener("input", ({ target }) => {
    const panel = target.form?.dataset.panel;
    if (panel) remember({ [panel]: page.panels[panel].state });
  });
}

startRemembering();
startSharing();
connect();
