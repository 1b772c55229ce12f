// The architecture diagram: opens and closes blocks, and draws what `reports/diagram` draws in Python.
// `measure`, `place` and what they call repeat geometry.py and scene.py, the drawing repeats drawing.py.

const diagramForm = {
  spacing: 18, gap: 24, track: 8, label: 15, lead: 8, arrow: 14,
  header: 30, padding: 16, foot: 14, pill: [118, 26], margin: 16, rounding: 6,
  letter: 6, titleLetter: 7.4, subtitleLetter: 5.9,
};

function startDiagrams() {
  for (const figure of document.querySelectorAll("figure[data-diagram]")) {
    const name = figure.dataset.diagram;
    for (const source of document.querySelectorAll("script[data-diagram-data]")) {
      if (source.dataset.diagramData === name) mountDiagram(figure, JSON.parse(source.textContent));
    }
  }
}

// Geometry

function placeNodes(plan, sizes) {
  const form = diagramForm;
  const rows = plan.forks.length;
  const heights = Array(rows).fill(0);
  const labelled = Array(rows).fill(false);
  sizes.forEach((size, node) => {
    const row = plan.rows[node];
    heights[row] = Math.max(heights[row], size.height);
    labelled[row] ||= size.label > 0;
  });
  const tops = [];
  const bottoms = [];
  const labels = [];
  let height = 0;
  for (let row = 0; row < rows; row += 1) {
    tops.push(height);
    height += heights[row];
    bottoms.push(height);
    labels.push(height + form.track * plan.forks[row] + form.label);
    if (row < rows - 1) {
      height += form.gap + form.track * (plan.forks[row] + plan.taps[row]) + (labelled[row] ? form.label : 0);
    }
  }
  const { lines, left, right } = placeColumns(plan, sizes);
  const nodes = sizes.map((size, node) => {
    const row = plan.rows[node];
    return [lines[plan.homes[node]], (tops[row] + bottoms[row] - size.height) / 2];
  });
  const wires = plan.wires.map((wire) => wireCorners(wire, plan, sizes, nodes, lines, tops, bottoms));
  const ends = new Map();
  plan.wires.forEach(([source, target, segment], number) => {
    const corners = wires[number];
    const at = ends.get(segment) ?? [];
    if (target < 0) at.push(corners[corners.length - 1][1]);
    if (source < 0) at.push(corners[0][1]);
    if (at.length) ends.set(segment, at);
  });
  const buses = Array.from(ends, ([segment, at]) => [
    [lines[segment], Math.min(...at)],
    [lines[segment], Math.max(...at)],
  ]);
  return { nodes, wires, buses, labels, left, right, height };
}

function placeColumns(plan, sizes) {
  const levels = 2 * plan.forks.length + 1;
  const wide = plan.segments.map(() => new Map());
  sizes.forEach((size, node) => {
    const level = 2 * plan.rows[node];
    const home = wide[plan.homes[node]];
    home.set(level, [size.left, size.right]);
    if (size.label) home.set(level + 1, [0, size.label]);
  });
  const lines = Array(plan.segments.length).fill(0);
  const edges = { "-1": Array(levels).fill(0), 1: Array(levels).fill(0) };
  const none = [0, 0];
  const order = plan.segments.map((_, number) => number);
  order.sort((one, other) => Math.abs(plan.segments[one][0]) - Math.abs(plan.segments[other][0]) || one - other);
  for (const number of order) {
    const [column, start, end] = plan.segments[number];
    const first = Math.max(start, 0);
    const last = Math.min(end, levels - 1);
    for (const side of [-1, 1]) {
      if (column * side < 0) continue;
      const near = side > 0 ? 0 : 1;
      if (column) {
        let reach = first > last ? 0 : -Infinity;
        for (let level = first; level <= last; level += 1) {
          reach = Math.max(reach, edges[side][level] + (wide[number].get(level) ?? none)[near]);
        }
        lines[number] = side * (reach + diagramForm.spacing);
      }
      for (let level = first; level <= last; level += 1) {
        edges[side][level] = side * lines[number] + (wide[number].get(level) ?? none)[1 - near];
      }
    }
  }
  return { lines, left: -Math.max(...edges[-1], 0), right: Math.max(...edges[1], 0) };
}

function wireCorners(wire, plan, sizes, nodes, lines, tops, bottoms) {
  const [source, target, segment, outlet, inlet, fork, tap, side] = wire;
  const { lead, track, arrow } = diagramForm;
  const line = lines[segment];
  const corners = [];
  if (source >= 0) {
    const bottom = bottoms[plan.rows[source]];
    const x = nodes[source][0] + (sizes[source].outlets?.[outlet] ?? 0);
    corners.push([x, nodes[source][1] + sizes[source].height]);
    if (x !== line) corners.push([x, bottom + lead + track * fork], [line, bottom + lead + track * fork]);
    else if (target < 0) corners.push([line, bottom + lead]);
  }
  if (target >= 0) {
    const size = sizes[target];
    let [x, y] = nodes[target];
    if (side) {
      const middle = y + size.height / 2;
      corners.push([line, middle], [x + (side > 0 ? size.right : -size.left), middle]);
    } else {
      x += size.inlets?.[inlet] ?? 0;
      if (x !== line || source < 0) {
        const above = tops[plan.rows[target]] - arrow - track * tap;
        corners.push([line, above], [x, above]);
      }
      corners.push([x, y]);
    }
  }
  return corners;
}

// Scene

function labelWidth(text) {
  return text ? 8 + diagramForm.letter * letters(text).length : 0;
}

function entryLabels(node, outermost) {
  return outermost || node.entries.length > 1 ? node.entries : node.entries.map(() => "");
}

function measureNode(data, number, state, outermost) {
  const form = diagramForm;
  const node = data.nodes[number];
  const label = labelWidth(node.label);
  if (!node.plan || !(outermost || state.open.has(number))) {
    const [width, height] = state.scaled ? node.scaled : node.size;
    return { number, size: { left: width / 2, right: width / 2, height, label } };
  }
  const children = node.children.map((child) => measureNode(data, child, state, false));
  const [width, height] = outermost ? form.pill : [0, 0];
  const end = { left: width / 2, right: width / 2, height, label: 0 };
  const sizes = [
    ...entryLabels(node, outermost).map((text) => ({ ...end, label: labelWidth(text) })),
    ...children.map((child) => child.size),
    ...Array.from({ length: node.exits }, () => end),
  ];
  const placed = placeNodes(node.plan, sizes);
  const first = node.entries.length;
  const size = {
    left: Math.max(form.padding - placed.left, node.size[0] / 2),
    right: Math.max(form.padding + placed.right, node.size[0] / 2),
    height: form.header + placed.height + (node.exits ? 0 : form.foot),
    label: node.exits ? 0 : label,
    outlets: placed.nodes.slice(placed.nodes.length - node.exits).map(([x]) => x),
    inlets: placed.nodes.slice(0, first).map(([x]) => x),
  };
  return { number, size, placed, children };
}

function composeScene(data, state) {
  const scene = { boxes: [], lines: [], labels: [], terminals: [] };
  const root = measureNode(data, 0, state, true);
  drawInside(data, scene, root, 0, 0, 1);
  const { entries, exits } = data.nodes[0];
  root.placed.nodes.forEach(([x, y], number) => {
    const leaving = number - root.placed.nodes.length + exits;
    if (number < entries.length) scene.terminals.push({ text: data.names[number], x, y });
    else if (leaving >= 0) scene.terminals.push({ text: exits === 1 ? "output" : `output ${leaving + 1}`, x, y });
  });
  const { left, right, height } = root.placed;
  return Object.assign(scene, { left, right, height });
}

function drawInside(data, scene, measured, x, y, level) {
  const node = data.nodes[measured.number];
  const { placed } = measured;
  const { plan } = node;
  const first = node.entries.length;
  const leaving = placed.nodes.length - node.exits;
  const seen = new Set();
  plan.wires.forEach(([source, target], number) => {
    const corners = placed.wires[number].map(([across, down]) => [x + across, y + down]);
    const skip = source < 0 || target < 0 || plan.rows[target] - plan.rows[source] > 1;
    const arrow = target >= 0 && (target < leaving || level === 1);
    const key = `${corners} ${skip} ${arrow}`;
    if (!seen.has(key)) scene.lines.push({ corners, skip, arrow });
    seen.add(key);
  });
  for (const [top, bottom] of placed.buses) {
    scene.lines.push({ corners: [[x + top[0], y + top[1]], [x + bottom[0], y + bottom[1]]], thick: true });
  }
  const labels = entryLabels(node, level === 1);
  placed.nodes.forEach(([across, down], number) => {
    let text = number < first ? labels[number] : "";
    if (number >= first && number < leaving) {
      const child = measured.children[number - first];
      const { size } = child;
      text = size.label ? data.nodes[child.number].label : "";
      const box = { number: child.number, x: x + across - size.left, y: y + down, width: size.left + size.right };
      scene.boxes.push({ ...box, height: size.height, open: Boolean(child.placed), level });
      if (child.placed) drawInside(data, scene, child, x + across, y + down + diagramForm.header, level + 1);
    }
    if (text) scene.labels.push({ text, x: x + across + 6, y: y + placed.labels[plan.rows[number]] });
  });
}

// Drawing

function letters(text) {
  return Array.from(text);
}

function svgElement(name, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) {
    element.setAttribute(key, typeof value === "number" ? String(Math.round(value * 100) / 100) : value);
  }
  element.append(...children);
  return element;
}

function shortenedText(text, length) {
  const all = letters(text);
  if (all.length <= length) return text;
  const head = Math.floor((length - 1) / 2);
  return `${all.slice(0, head).join("")}…${all.slice(all.length - (length - 1 - head)).join("")}`;
}

function fittingText(text, width, letter, least = 2) {
  return shortenedText(text, Math.max(least, Math.floor(width / letter)));
}

function svgText(name, x, y, text) {
  return svgElement("text", { class: name, x, y }, text);
}

function svgBox(width, height, radius) {
  return svgElement("rect", { class: "box", width, height, rx: radius });
}

function drawBox(node, style, box) {
  const names = ["node", style];
  if (box.open) names.push("is-open");
  if (node.unused) names.push("is-unused");
  const { width, height } = box;
  let parts;
  if (node.symbol) {
    names.push("is-joint");
    parts = [svgBox(width, height, height / 2), svgText("symbol", width / 2, height / 2 + 4.5, node.symbol)];
  } else if (node.plan) {
    names.push("is-group");
    parts = groupParts(node, box);
  } else {
    parts = [svgBox(width, height, 5), ...leafParts(node, width, height / 2)];
  }
  const place = `translate(${Math.round(box.x * 100) / 100} ${Math.round(box.y * 100) / 100})`;
  return svgElement("g", { class: names.join(" "), "data-node": String(box.number), transform: place }, ...parts);
}

function leafParts(node, width, middle) {
  const { titleLetter, subtitleLetter } = diagramForm;
  const title = fittingText(node.title, width - 14, titleLetter);
  if (!node.subtitle) return [svgText("title", width / 2, middle + 4, title)];
  const subtitle = fittingText(node.subtitle, width - 14, subtitleLetter);
  return [svgText("title", width / 2, middle - 2, title), svgText("subtitle", width / 2, middle + 12, subtitle)];
}

function groupParts(node, box) {
  const { titleLetter, subtitleLetter, header } = diagramForm;
  const { width, height, open } = box;
  const parts = [];
  if (node.badge && !open) {
    for (const offset of [6, 3]) {
      parts.push(svgElement("rect", { class: "behind", x: offset, y: offset, width, height, rx: 7 }));
    }
  }
  const middle = open ? header / 2 : height / 2;
  const chevron = open ? "M10 12.5l4.5 5l4.5 -5" : `M12 ${middle - 4.5}l5 4.5l-5 4.5`;
  parts.push(svgBox(width, height, 7), svgElement("path", { class: "chevron", d: chevron }));
  const size = node.badge ? 8 * node.badge.length + 10 : 0;
  const room = node.badge ? size + 8 : 0;
  if (open) {
    const title = fittingText(node.title, width - 32 - room, titleLetter);
    const beside = 26 + titleLetter * letters(title).length + 10;
    parts.push(svgText("title start", 26, 19.5, title));
    const subtitle = fittingText(node.subtitle, width - beside - room - 8, subtitleLetter);
    if (letters(subtitle).length > 5) parts.push(svgText("subtitle start", beside, 19.5, subtitle));
  } else {
    const title = fittingText(node.title, width - 34 - room, titleLetter);
    const subtitle = fittingText(node.subtitle, width - 34 - room, subtitleLetter);
    parts.push(svgText("title start", 26, middle - 3, title), svgText("subtitle start", 26, middle + 12, subtitle));
  }
  if (node.badge) {
    const left = width - size - 8;
    parts.push(svgElement("rect", { class: "badge", x: left, y: middle - 9, width: size, height: 18, rx: 9 }));
    parts.push(svgText("badge-text", left + size / 2, middle + 4, node.badge));
  }
  return parts;
}

function drawLine(line) {
  const digits = (value) => Math.round(value * 100) / 100;
  if (line.thick) {
    const [[x, top], [, bottom]] = line.corners;
    return [svgElement("path", { class: "bus", d: `M${digits(x)} ${digits(top)}V${digits(bottom)}` })];
  }
  const skip = line.skip ? " is-skip" : "";
  const points = line.corners.filter(([x, y], at) => {
    const before = line.corners[at - 1];
    return !before || before[0] !== x || before[1] !== y;
  });
  let path = `M${digits(points[0][0])} ${digits(points[0][1])}`;
  for (let at = 1; at < points.length - 1; at += 1) {
    const corner = points[at];
    const [start, end] = [points[at - 1], points[at + 1]].map((other) => {
      const [across, down] = [other[0] - corner[0], other[1] - corner[1]];
      const length = Math.abs(across) + Math.abs(down);
      const share = Math.min(diagramForm.rounding, length / 2) / length;
      return `${digits(corner[0] + across * share)} ${digits(corner[1] + down * share)}`;
    });
    path += `L${start}Q${digits(corner[0])} ${digits(corner[1])} ${end}`;
  }
  const [x, y] = points[points.length - 1];
  const parts = [svgElement("path", { class: `wire${skip}`, d: `${path}L${digits(x)} ${digits(y)}` })];
  if (line.arrow) {
    const before = points[points.length - 2] ?? [x, y - 1];
    const tip = `M${digits(x)} ${digits(y)}`;
    const back = before[0] > x ? 6 : -6;
    const sideways = before[1] === y && before[0] !== x;
    parts.push(svgElement("path", { class: `arrow${skip}`, d: tip + (sideways ? `l${back} -3.5v7z` : "l-3.5 -6h7z") }));
  }
  return parts;
}

// The reader

function mountDiagram(figure, data) {
  const view = figure.querySelector(".diagram-view");
  const drawing = view.querySelector("svg");
  const bar = figure.querySelector(".diagram-bar");
  const card = figure.querySelector(".diagram-card");
  const legend = figure.querySelector(".diagram-legend");
  const status = figure.querySelector(".diagram-status");
  const parents = new Map();
  data.nodes.forEach((node, number) => node.children?.forEach((child) => parents.set(child, number)));
  const state = {
    open: new Set(data.open), colour: data.colour, scaled: data.scaled, zoom: 1, current: data.nodes[0].children[0] ?? 0,
    found: new Set(),
  };
  let scene;
  let elements = new Map();

  const pathOf = (number) => data.nodes[number].facts?.[0] ?? "";
  const styleOf = (number) => data.schemes[state.colour].styles[data.schemes[state.colour].of[number]];

  function draw() {
    const held = figure.ownerDocument.activeElement?.closest?.("[data-node]");
    scene = composeScene(data, state);
    elements = new Map();
    const { margin, pill } = diagramForm;
    const parts = scene.boxes.map((box) => {
      const node = data.nodes[box.number];
      const element = drawBox(node, styleOf(box.number), box);
      element.setAttribute("role", "treeitem");
      element.setAttribute("aria-level", String(box.level));
      element.setAttribute("aria-label", [node.title, node.subtitle, node.badge, node.label].filter(Boolean).join(", "));
      element.setAttribute("tabindex", "-1");
      if (node.plan) element.setAttribute("aria-expanded", String(box.open));
      if (state.found.has(box.number)) element.classList.add("is-found");
      elements.set(box.number, element);
      return element;
    });
    const others = scene.lines.flatMap(drawLine);
    others.push(...scene.labels.map((label) => svgText("shape", label.x, label.y, label.text)));
    for (const end of scene.terminals) {
      const [width, height] = pill;
      const text = svgText("title", width / 2, 17, shortenedText(end.text, 16));
      const box = svgElement("rect", { width, height, rx: 13 });
      const place = `translate(${Math.round((end.x - width / 2) * 100) / 100} ${Math.round(end.y * 100) / 100})`;
      others.push(svgElement("g", { class: "terminal", transform: place }, box, text));
    }
    for (const part of others) part.setAttribute("aria-hidden", "true");
    drawing.replaceChildren(...parts, ...others);
    const width = scene.right - scene.left + 2 * margin;
    const height = scene.height + 2 * margin;
    drawing.setAttribute("viewBox", `${scene.left - margin} ${-margin} ${width} ${height}`);
    scene.width = width;
    scene.full = height;
    resize();
    if (!elements.has(state.current)) state.current = nearestShown(state.current);
    elements.get(state.current)?.setAttribute("tabindex", "0");
    if (held) elements.get(state.current)?.focus({ preventScroll: true });
    drawLegend();
  }

  function resize() {
    drawing.setAttribute("width", String(Math.round(scene.width * state.zoom)));
    drawing.setAttribute("height", String(Math.round(scene.full * state.zoom)));
  }

  function nearestShown(number) {
    let shown = number;
    while (shown !== undefined && !elements.has(shown)) shown = parents.get(shown);
    return shown ?? scene.boxes[0]?.number ?? 0;
  }

  function drawLegend() {
    const shown = new Set(scene.boxes.filter((box) => !box.open).map((box) => styleOf(box.number)));
    const scheme = data.schemes[state.colour];
    legend.replaceChildren();
    for (const [style, text] of scheme.legend) {
      if (!shown.has(style)) continue;
      const item = document.createElement("li");
      const swatch = svgElement("svg", { class: "diagram-drawing", width: 16, height: 13, "aria-hidden": "true" });
      const box = svgElement("rect", { class: "box", x: 0.5, y: 0.5, width: 15, height: 12, rx: 3 });
      swatch.append(svgElement("g", { class: `key ${style}` }, box));
      item.append(swatch, text);
      legend.append(item);
    }
  }

  // Keep what the reader looks at where it is while the drawing around it changes.
  function redrawAround(number) {
    const before = elements.get(number)?.getBoundingClientRect();
    draw();
    const after = elements.get(number)?.getBoundingClientRect();
    if (!before || !after) return;
    view.scrollLeft += after.left - before.left;
    view.scrollTop += after.top - before.top;
  }

  function toggle(number, open = !state.open.has(number)) {
    if (!data.nodes[number].plan) return;
    if (open) state.open.add(number);
    else state.open.delete(number);
    state.current = number;
    redrawAround(number);
    describe(number);
  }

  function bring(element) {
    const outer = view.getBoundingClientRect();
    const inner = element.getBoundingClientRect();
    const height = Math.min(inner.height, 60 * state.zoom);
    if (inner.top < outer.top + 8 || inner.top + height > outer.bottom - 8) {
      view.scrollTop += inner.top + height / 2 - (outer.top + outer.height / 2);
    }
    if (inner.left < outer.left + 8 || inner.right > outer.right - 8) {
      view.scrollLeft += inner.left + Math.min(inner.width, outer.width) / 2 - (outer.left + outer.width / 2);
    }
  }

  function select(number, focus = true) {
    elements.get(state.current)?.setAttribute("tabindex", "-1");
    state.current = number;
    const element = elements.get(number);
    element.setAttribute("tabindex", "0");
    if (focus) element.focus({ preventScroll: true });
    bring(element);
    describe(number);
  }

  function reveal(number) {
    for (let holder = parents.get(number); holder; holder = parents.get(holder)) state.open.add(holder);
    draw();
  }

  // A path inside one of several equal blocks is drawn inside the first.
  function resolve(path) {
    for (let tries = 0; tries < 20; tries += 1) {
      const number = data.nodes.findIndex((_, at) => at > 0 && pathOf(at) === path);
      if (number > 0) return number;
      const standing = data.nodes.find((node) => node.repeats?.some((other) => path === other || path.startsWith(`${other}.`)));
      if (!standing) return -1;
      const own = standing.repeats.find((other) => path === other || path.startsWith(`${other}.`));
      if (own === standing.repeats[0]) return -1;
      path = standing.repeats[0] + path.slice(own.length);
    }
    return -1;
  }

  // The card and the table

  const scope = () => figure.closest("[data-trace]") ?? document;

  function describe(number) {
    const node = data.nodes[number];
    const list = document.createElement("dl");
    data.facts.forEach((name, place) => {
      const text = node.facts?.[place];
      if (!text) return;
      const term = document.createElement("dt");
      const value = document.createElement("dd");
      const inner = document.createElement("bdi");
      term.textContent = name;
      inner.textContent = text;
      value.append(inner);
      list.append(term, value);
    });
    const parts = [list];
    if (rowOf(pathOf(number))) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = "Show in the table";
      button.addEventListener("click", () => showRow(number));
      parts.push(button);
    }
    card.replaceChildren(...parts);
    card.hidden = false;
  }

  function rowOf(path) {
    return scope().querySelector(`tr[data-path="${CSS.escape(path)}"]`);
  }

  function showRow(number) {
    const detail = { path: pathOf(number), diagram: figure.dataset.diagram };
    const asked = new CustomEvent("archlab:show-row", { bubbles: true, cancelable: true, detail });
    if (!figure.dispatchEvent(asked)) return;
    const row = rowOf(detail.path);
    if (!row) return;
    for (const other of scope().querySelectorAll("tr.is-target")) other.classList.remove("is-target");
    row.classList.add("is-target");
    row.tabIndex = -1;
    row.focus({ preventScroll: true });
    row.scrollIntoView({ block: "center" });
  }

  function showNode(path) {
    const number = resolve(path);
    if (number < 0) return;
    reveal(number);
    figure.scrollIntoView({ block: "nearest" });
    select(number);
  }

  document.addEventListener("archlab:show-node", (event) => {
    if (!event.detail.diagram || event.detail.diagram === figure.dataset.diagram) showNode(event.detail.path);
  });
  scope().addEventListener("click", (event) => {
    const cell = event.target.closest?.("tr[data-path] > :first-child");
    if (cell && !event.target.closest("a, button, input, summary")) showNode(cell.parentElement.dataset.path);
  });

  // Pointer

  let dragged = null;
  view.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "mouse" && event.button === 0) {
      dragged = { x: event.clientX, y: event.clientY, left: view.scrollLeft, top: view.scrollTop, far: false };
    }
  });
  view.addEventListener("pointermove", (event) => {
    if (!dragged) return;
    const [across, down] = [event.clientX - dragged.x, event.clientY - dragged.y];
    if (!dragged.far && Math.hypot(across, down) < 5) return;
    if (!dragged.far) view.setPointerCapture(event.pointerId);
    dragged.far = true;
    view.classList.add("is-dragged");
    view.scrollLeft = dragged.left - across;
    view.scrollTop = dragged.top - down;
  });
  for (const name of ["pointerup", "pointercancel"]) {
    view.addEventListener(name, () => {
      view.classList.remove("is-dragged");
      const far = dragged?.far;
      dragged = null;
      if (far) view.addEventListener("click", (event) => event.stopPropagation(), { capture: true, once: true });
    });
  }
  drawing.addEventListener("click", (event) => {
    const element = event.target.closest("[data-node]");
    if (!element) return;
    const number = Number(element.dataset.node);
    if (data.nodes[number].plan) {
      select(number);
      toggle(number);
    } else {
      select(number);
      showRow(number);
    }
  });
  let pointed = null; // moves only: a drawing that scrolls under a resting pointer says nothing about what is read
  drawing.addEventListener("pointermove", (event) => {
    const element = event.target.closest("[data-node]");
    if (element !== pointed && element && !dragged?.far) describe(Number(element.dataset.node));
    pointed = element;
  });
  view.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      zoomTo(state.zoom * Math.exp(-event.deltaY / 300), event.clientX, event.clientY);
    },
    { passive: false },
  );

  function zoomTo(zoom, clientX, clientY) {
    const outer = view.getBoundingClientRect();
    const before = drawing.getBoundingClientRect();
    const x = clientX ?? outer.left + outer.width / 2;
    const y = clientY ?? outer.top + outer.height / 2;
    const next = Math.min(4, Math.max(0.1, zoom));
    const [across, down] = [(x - before.left) / state.zoom, (y - before.top) / state.zoom];
    state.zoom = next;
    resize();
    const after = drawing.getBoundingClientRect();
    view.scrollLeft += after.left + across * next - x;
    view.scrollTop += after.top + down * next - y;
  }

  function fit() {
    const style = getComputedStyle(view);
    const high = parseFloat(style.maxHeight) || view.clientHeight;
    zoomTo(Math.min(1, view.clientWidth / scene.width, high / scene.full));
  }

  // Keyboard

  drawing.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const order = scene.boxes.map((box) => box.number);
    const place = order.indexOf(state.current);
    const node = data.nodes[state.current];
    const isOpen = state.open.has(state.current);
    const actions = {
      ArrowDown: () => select(order[Math.min(place + 1, order.length - 1)]),
      ArrowUp: () => select(order[Math.max(place - 1, 0)]),
      Home: () => select(order[0]),
      End: () => select(order[order.length - 1]),
      ArrowRight: () => {
        if (node.plan && !isOpen) toggle(state.current, true);
        else if (node.plan) select(node.children[0]);
      },
      ArrowLeft: () => {
        if (node.plan && isOpen) toggle(state.current, false);
        else if (parents.get(state.current)) select(parents.get(state.current));
      },
      Enter: () => (node.plan ? toggle(state.current) : showRow(state.current)),
      t: () => showRow(state.current),
      "/": () => bar.elements.search.focus(),
      "+": () => zoomTo(state.zoom * 1.25),
      "-": () => zoomTo(state.zoom / 1.25),
      0: () => fit(),
    };
    actions[" "] = actions.Enter;
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });

  // The bar

  let hits = [];
  let hit = -1;

  function search(text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    hits = [];
    hit = -1;
    if (words.length) {
      data.nodes.forEach((node, number) => {
        const all = `${pathOf(number)} ${node.title} ${node.facts?.[1] ?? ""}`.toLowerCase();
        if (number && words.every((word) => all.includes(word))) hits.push(number);
      });
      const exact = resolve(text.trim());
      if (!hits.length && exact > 0) hits.push(exact);
    }
    state.found = new Set(hits);
    if (hits.length) next(1);
    else {
      draw();
      status.textContent = words.length ? "Nothing found" : "";
    }
  }

  function next(step) {
    if (!hits.length) return;
    hit = (hit + step + hits.length) % hits.length;
    reveal(hits[hit]);
    select(hits[hit], false);
    status.textContent = `${hit + 1} of ${hits.length}: ${pathOf(hits[hit])}`;
  }

  bar.addEventListener("submit", (event) => event.preventDefault());
  bar.elements.search.addEventListener("input", (event) => search(event.target.value));
  bar.elements.search.addEventListener("keydown", (event) => {
    if (event.key === "Enter") next(event.shiftKey ? -1 : 1);
    else if (event.key === "ArrowDown") elements.get(state.current)?.focus();
    else return;
    event.preventDefault();
  });
  bar.elements.colour.addEventListener("change", (event) => {
    state.colour = event.target.value;
    draw();
  });
  bar.elements.scaled.addEventListener("change", (event) => {
    state.scaled = event.target.checked;
    redrawAround(state.current);
  });
  const actions = {
    open: () => {
      for (const box of scene.boxes) if (data.nodes[box.number].plan) state.open.add(box.number);
      redrawAround(state.current);
    },
    close: () => {
      state.open.clear();
      draw();
      view.scrollTo(0, 0);
    },
    larger: () => zoomTo(state.zoom * 1.25),
    smaller: () => zoomTo(state.zoom / 1.25),
    fit,
  };
  bar.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-action]");
    if (button) actions[button.dataset.action]();
  });

  drawing.setAttribute("role", "tree");
  bar.hidden = false;
  figure.classList.add("is-live");
  draw();
  zoomTo(Math.min(1, Math.max(0.75, view.clientWidth / scene.width)));
  view.scrollLeft = (view.scrollWidth - view.clientWidth) / 2;
  view.scrollTop = 0;
}
