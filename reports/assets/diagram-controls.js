// The architecture diagram in a page: pointer, keyboard, search and buttons.

function startDiagrams() {
  const started = [];
  const sources = Array.from(document.querySelectorAll("script[data-diagram-data]"));
  for (const figure of document.querySelectorAll("figure[data-diagram]")) {
    const source = sources.find((script) => script.dataset.diagramData === figure.dataset.diagram);
    if (!source) continue;
    const diagram = new Diagram(figure, JSON.parse(source.textContent));
    watchPointer(diagram);
    watchTouch(diagram);
    watchView(diagram);
    watchKeys(diagram);
    watchSearch(diagram);
    watchBar(diagram);
    if (!diagram.data.other) watchTable(diagram); // two side by side have no table of their own
    started.push(diagram);
  }
  linkDiagrams(started);
  for (const diagram of started) diagram.start();
  watchPage(started);
}

// What is open, in the page's address: `#FIGURE?open=3.5.7`. A page that is no file or site has none to change.
function openFromAddress(diagram) {
  const [name, said] = location.hash.slice(1).split("?");
  const open = new URLSearchParams(said ?? "").get("open");
  if (name !== diagram.figure.id || open === null) return;
  diagram.open = new Set(open.split(".").map(Number).filter((number) => diagram.data.nodes[number]?.plan));
  diagram.figure.scrollIntoView();
}

function keepOpen(diagram) {
  const others = (location.hash.split("?")[1] ?? "").split("&").filter((part) => part.startsWith("theme="));
  const said = [`open=${Array.from(diagram.open).join(".")}`, ...others];
  if (/^(file|https?):/.test(location.protocol)) {
    history.replaceState(history.state, "", `#${diagram.figure.id}?${said.join("&")}`);
  }
}

// A slash searches the diagram that is nearest to the middle of the window, unless somebody writes or it is the page's.
function watchPage(diagrams) {
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest?.("input, textarea, select, [contenteditable]")) return;
    const shown = diagrams.filter(({ bar }) => !bar.hidden && bar.getClientRects().length);
    const distance = ({ view }) => {
      const { top, bottom } = view.getBoundingClientRect();
      return Math.max(0, top - innerHeight / 2, innerHeight / 2 - bottom);
    };
    shown.sort((one, other) => distance(one) - distance(other));
    if (!shown.length) return;
    event.preventDefault();
    shown[0].bar.elements.search.focus();
  });
}

// A plain wheel scrolls the page; only with Ctrl, as a pinch on a touch pad sends it, does it zoom.
function watchPointer(diagram) {
  const { view, drawing } = diagram;
  let drag = null;
  let moved = false;
  let pointed = null;
  view.addEventListener("pointerdown", (event) => {
    moved = false;
    if (event.pointerType !== "mouse" || event.button !== 0) return;
    drag = { x: event.clientX, y: event.clientY, left: view.scrollLeft, top: view.scrollTop };
  });
  view.addEventListener("pointermove", (event) => {
    if (!drag) {
      // Moves only: a drawing that scrolls under a resting pointer says nothing about what is being read.
      const element = event.target.closest("[data-node]");
      if (element && element !== pointed) diagram.describe(Number(element.dataset.node));
      pointed = element;
      return;
    }
    const [across, down] = [event.clientX - drag.x, event.clientY - drag.y];
    if (!moved && Math.hypot(across, down) < 5) return;
    if (!moved) view.setPointerCapture(event.pointerId);
    moved = true;
    view.classList.add("is-dragged");
    view.scrollLeft = drag.left - across;
    view.scrollTop = drag.top - down;
  });
  for (const name of ["pointerup", "pointercancel"]) {
    view.addEventListener(name, () => {
      view.classList.remove("is-dragged");
      drag = null;
    });
  }
  drawing.addEventListener("click", (event) => {
    const element = event.target.closest("[data-node]");
    if (!element || moved) return;
    const number = Number(element.dataset.node);
    const toggles = !diagram.open.has(number) || isOnTitle(event, diagram, number);
    diagram.select(number);
    if (!diagram.node(number).plan) diagram.showRow(number);
    else if (toggles) diagram.toggle(number);
  });
  view.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      diagram.zoomTo(diagram.zoom * Math.exp(-event.deltaY / 300), event.clientX, event.clientY);
    },
    { passive: false },
  );
}

// One finger moves the drawing, as the browser does it by itself; two zoom.
function watchTouch(diagram) {
  let last = 0;
  const distance = ([one, other]) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
  diagram.view.addEventListener("touchstart", (event) => {
    last = event.touches.length === 2 ? distance(event.touches) : 0;
  });
  diagram.view.addEventListener(
    "touchmove",
    (event) => {
      if (!last || event.touches.length !== 2) return;
      event.preventDefault();
      const [one, other] = event.touches;
      const now = distance(event.touches);
      const middle = [(one.clientX + other.clientX) / 2, (one.clientY + other.clientY) / 2];
      diagram.zoomTo((diagram.zoom * now) / last, ...middle);
      last = now;
    },
    { passive: false },
  );
}

function watchView(diagram) {
  diagram.view.addEventListener("scroll", () => diagram.repaint());
  // On the view: Chromium takes an SVG element that listens to focus for one that wants it.
  diagram.view.addEventListener("focusin", (event) => {
    const element = event.target.closest("[data-node]");
    if (element) diagram.describe(Number(element.dataset.node));
  });
  addEventListener("beforeprint", () => diagram.paint(true));
  addEventListener("afterprint", () => diagram.paint());
}

// An open block closes by its title, not by a click between its layers.
function isOnTitle(event, diagram, number) {
  return event.clientY - diagram.place(number).top <= diagramForm.header * diagram.zoom;
}

function watchKeys(diagram) {
  diagram.drawing.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const action = keyAction(diagram, event.key);
    if (!action) return;
    event.preventDefault();
    action();
  });
}

function keyAction(diagram, key) {
  const order = diagram.scene.boxes.map((box) => box.number);
  const { current, zoom } = diagram;
  const place = order.indexOf(current);
  const node = diagram.node(current);
  const isOpen = diagram.open.has(current);
  const enter = () => (node.plan ? diagram.toggle(current) : diagram.showRow(current));
  const actions = {
    ArrowDown: () => diagram.select(order[Math.min(place + 1, order.length - 1)]),
    ArrowUp: () => diagram.select(order[Math.max(place - 1, 0)]),
    Home: () => diagram.select(order[0]),
    End: () => diagram.select(order[order.length - 1]),
    ArrowRight: () => {
      if (node.plan && !isOpen) diagram.toggle(current, true);
      else if (node.plan) diagram.select(node.children[0]);
    },
    ArrowLeft: () => {
      if (node.plan && isOpen) diagram.toggle(current, false);
      else if (diagram.parents.get(current)) diagram.select(diagram.parents.get(current));
    },
    Enter: enter,
    " ": enter,
    Escape: () => {
      if (diagram.found.size) diagram.bar.elements.search.value = "";
      if (diagram.found.size) diagram.bar.elements.search.dispatchEvent(new Event("input"));
      else if (node.plan && isOpen) diagram.toggle(current, false);
      else if (diagram.parents.get(current)) diagram.toggle(diagram.parents.get(current), false);
    },
    t: () => diagram.showRow(current),
    "/": () => diagram.bar.elements.search.focus(),
    "+": () => diagram.zoomTo(zoom * 1.25),
    "-": () => diagram.zoomTo(zoom / 1.25),
    0: () => diagram.fit(),
  };
  return Object.hasOwn(actions, key) ? actions[key] : undefined;
}

function watchSearch(diagram) {
  const field = diagram.bar.elements.search;
  const texts = searchTexts(diagram);
  let before = null;
  let hits = [];
  let hit = -1;

  function show(step) {
    if (!hits.length) return;
    hit = (hit + step + hits.length) % hits.length;
    diagram.reveal(hits[hit]);
    diagram.zoomIn(hits[hit]);
    diagram.select(hits[hit], false);
    diagram.status.textContent = `${hit + 1} of ${hits.length}: ${diagram.path(hits[hit])}`;
  }

  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    // What an earlier letter opened closes again; what is found at the end stays open.
    before ??= new Set(diagram.open);
    if (words.length) diagram.open = new Set(before);
    else before = null;
    hits = words.length ? matches(texts(), words) : [];
    hit = -1;
    diagram.found = new Set(hits);
    if (hits.length) {
      show(1);
      return;
    }
    diagram.draw();
    diagram.status.textContent = words.length ? "Nothing found" : "";
  });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter") show(event.shiftKey ? -1 : 1);
    else if (event.key === "ArrowDown") diagram.select(diagram.current);
    else if (event.key === "Escape") {
      field.value = "";
      field.dispatchEvent(new Event("input"));
      diagram.select(diagram.current);
    } else return;
    event.preventDefault();
  });
}

// What is searched, read when it is first needed; and how a path within a repeat is called within the first.
function searchTexts(diagram) {
  let texts = null;
  return () => {
    if (texts) return texts;
    const { nodes } = diagram.data;
    const names = (node) => [node.repeats?.join(" ") ?? "", node.title, node.facts?.[1] ?? ""].join(" ");
    const all = nodes.map((node, number) => `${diagram.path(number)} ${names(node)}`.toLowerCase());
    const repeats = nodes.flatMap((node) => (node.repeats ?? []).map((path) => [path, node.repeats[0]]));
    texts = { all, repeats: repeats.map((pair) => pair.map((path) => `${path.toLowerCase()}.`)) };
    return texts;
  };
}

function matches({ all, repeats }, words) {
  const wanted = words.map((word) => {
    const [path, first] = repeats.find(([path]) => word.startsWith(path)) ?? ["", ""];
    return first + word.slice(path.length);
  });
  return all.flatMap((text, number) => (number && wanted.every((word) => text.includes(word)) ? [number] : []));
}

function watchBar(diagram) {
  const { bar } = diagram;
  const actions = {
    open: () => {
      diagram.data.nodes.forEach((node, number) => node.plan && diagram.setOpen(number, true));
      diagram.drawAround(diagram.current);
    },
    close: () => {
      for (const { open } of [diagram, diagram.other].filter(Boolean)) open.clear();
      diagram.draw();
      diagram.view.scrollTo(diagram.view.scrollLeft, 0);
    },
    larger: () => diagram.zoomTo(diagram.zoom * 1.25),
    smaller: () => diagram.zoomTo(diagram.zoom / 1.25),
    fit: () => diagram.fit(),
  };
  bar.addEventListener("submit", (event) => event.preventDefault());
  bar.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-action]");
    if (!button) return;
    actions[button.dataset.action]();
    if (["open", "close"].includes(button.dataset.action)) keepOpen(diagram);
  });
  bar.elements.columns?.addEventListener("change", (event) => {
    const [wide, high] = diagram.room();
    diagram.ratio = event.target.checked ? wide / high : 0;
    diagram.drawAround(diagram.current);
  });
  bar.elements.colour.addEventListener("change", (event) => {
    diagram.colour = event.target.value;
    diagram.draw();
  });
}

function watchTable(diagram) {
  const name = diagram.figure.dataset.diagram;
  document.addEventListener("archlab:show-node", (event) => {
    if ((event.detail.diagram ?? name) === name) diagram.showNode(event.detail.path);
  });
  diagram.scope.addEventListener("click", (event) => {
    const cell = event.target.closest?.("tr[data-path] > :first-child");
    if (cell && !event.target.closest("a, button, input, summary")) diagram.showNode(cell.parentElement.dataset.path);
  });
}
