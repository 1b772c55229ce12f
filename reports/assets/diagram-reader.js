// The architecture diagram in a page: what is open, chosen and found, and how it shows.

// A larger drawing holds only what is near the view: elements take time, their places hardly any.
const mostBoxes = 400;

class Diagram {
  constructor(figure, data) {
    this.figure = figure;
    this.data = data;
    this.view = figure.querySelector(".diagram-view");
    this.drawing = this.view.querySelector("svg");
    this.bar = figure.querySelector(".diagram-bar");
    this.card = figure.querySelector(".diagram-card");
    this.legend = figure.querySelector(".diagram-legend");
    this.status = figure.querySelector(".diagram-status");
    this.open = new Set(data.open);
    this.colour = data.colour;
    this.ratio = data.ratio; // width by height of what the columns fill; 0 for a single one
    this.zoom = 1;
    this.current = data.nodes[0].children[0] ?? 0;
    this.found = new Set();
    this.boxes = new Map();
    this.elements = new Map();
    this.scene = null;
    this.painted = null;
    this.partners = data.partners ?? [];
    this.other = null; // the diagram that stands beside this one and moves with it
    this.gaps = null; // what is left free above the rows of each block, so that both keep step
    this.parents = new Map();
    data.nodes.forEach((node, number) => node.children?.forEach((child) => this.parents.set(child, number)));
  }

  start() {
    if (this.view.clientWidth) {
      this.begin();
      return;
    }
    // In a part of the page that is closed there is no room to measure.
    const opening = new ResizeObserver(() => {
      if (!this.view.clientWidth) return;
      opening.disconnect();
      this.begin();
    });
    opening.observe(this.view);
  }

  begin() {
    this.drawing.setAttribute("role", "tree");
    this.bar.hidden = false;
    this.figure.classList.add("is-live");
    const hasTable = Boolean(this.scope.querySelector("tr[data-path]"));
    for (const words of this.figure.querySelectorAll("[data-needs-table]")) words.hidden = !hasTable;
    openFromAddress(this);
    this.draw();
    this.zoomTo(Math.min(1, Math.max(0.75, this.view.clientWidth / this.scene.width)));
    this.view.scrollLeft = (this.view.scrollWidth - this.view.clientWidth) / 2;
    this.view.scrollTop = 0;
  }

  node(number) {
    return this.data.nodes[number];
  }

  path(number) {
    return this.node(number).facts?.[0] ?? "";
  }

  style(number) {
    const scheme = this.data.schemes[this.colour];
    return scheme.styles[scheme.of[number]];
  }

  // Drawing

  draw() {
    if (this.other) {
      const [scene, beside] = composePair(this, this.other);
      this.show(scene);
      this.other.show(beside);
      return;
    }
    const scene = composeScene(this.data, this);
    this.show(this.ratio ? wrapScene(scene, this.ratio) : scene);
  }

  show(scene) {
    this.scene = scene;
    const { margin } = diagramForm;
    const { left, right, height } = this.scene;
    this.scene.width = right - left + 2 * margin;
    this.scene.full = height + 2 * margin;
    this.boxes = new Map(this.scene.boxes.map((box) => [box.number, box]));
    this.current = this.shownAround(this.current);
    this.drawing.setAttribute("viewBox", `${left - margin} ${-margin} ${this.scene.width} ${this.scene.full}`);
    this.resize();
    this.paint();
    this.drawLegend();
  }

  // The elements of a drawing: all of a small one, those around the view of a large one.
  paint(whole = this.scene?.boxes.length <= mostBoxes) {
    if (!this.scene) return;
    const held = this.drawing.contains(document.activeElement);
    const area = whole ? [-Infinity, Infinity] : this.visibleArea(1);
    this.painted = area;
    const near = (top, bottom) => top <= area[1] && bottom >= area[0];
    const boxes = this.scene.boxes.filter((box) => box.number === this.current || near(box.y, box.y + box.height));
    const heights = ({ corners }) => corners.map(([, y]) => y);
    const connectors = this.scene.connectors.filter((line) => near(Math.min(...heights(line)), Math.max(...heights(line))));
    connectors.sort((one, other) => Number(Boolean(other.skip)) - Number(Boolean(one.skip)));
    const frames = this.scene.frames.map((box) => drawFrame(this.node(box.number), box));
    const others = [
      ...connectors.flatMap(drawConnector),
      ...this.scene.labels.filter(({ y }) => near(y, y)).map(drawLabel),
      ...this.scene.terminals.filter(({ y }) => near(y, y)).map(drawTerminal),
    ];
    for (const part of [...frames, ...others]) part.setAttribute("aria-hidden", "true");
    this.elements = new Map(boxes.map((box) => [box.number, this.treeItem(box)]));
    this.drawing.replaceChildren(...frames, ...this.elements.values(), ...others);
    this.elements.get(this.current)?.setAttribute("tabindex", "0");
    if (held) this.elements.get(this.current)?.focus({ preventScroll: true });
  }

  // What of the drawing's height the view shows, and some views of margin.
  visibleArea(margin) {
    const top = this.view.scrollTop / this.zoom - diagramForm.margin;
    const high = this.view.clientHeight / this.zoom;
    return [top - margin * high, top + (1 + margin) * high];
  }

  // After scrolling and zooming.
  repaint() {
    if (!this.scene) return;
    const [top, bottom] = this.visibleArea(0.25);
    const [first, last] = [0, this.scene.height];
    if (Math.max(top, first) < this.painted[0] || Math.min(bottom, last) > this.painted[1]) this.paint();
  }

  treeItem(box) {
    const node = this.node(box.number);
    const element = drawBox(node, this.style(box.number), box);
    const texts = Array.from(element.querySelectorAll("text"));
    const written = texts.map((text) => text.textContent).join(" ");
    const cut = written.includes("…") ? [node.title, node.subtitle] : [];
    const spoken = [written, ...cut, node.label].filter(Boolean).join(", ");
    for (const text of texts.slice(0, -1)) text.after(" "); // what is written reads as words, not as one
    element.setAttribute("role", "treeitem");
    element.setAttribute("aria-level", String(box.level));
    element.setAttribute("aria-label", spoken);
    element.setAttribute("tabindex", "-1");
    if (node.plan) element.setAttribute("aria-expanded", String(box.open));
    if (this.found.has(box.number)) element.classList.add("is-found");
    return element;
  }

  resize() {
    this.drawing.setAttribute("width", String(Math.round(this.scene.width * this.zoom)));
    this.drawing.setAttribute("height", String(Math.round(this.scene.full * this.zoom)));
  }

  drawLegend() {
    const shown = new Set(this.scene.boxes.filter((box) => !box.open).map((box) => this.style(box.number)));
    const scheme = this.data.schemes[this.colour];
    this.legend.setAttribute("aria-label", scheme.title);
    this.legend.replaceChildren();
    const { boxes, connectors } = this.scene;
    const states = boxes.map(({ number }) => this.node(number));
    const marks = {
      wire: connectors.some(({ skip }) => !skip),
      "wire is-skip": connectors.some(({ skip, thick }) => skip && !thick),
      bus: connectors.some(({ thick }) => thick),
      "is-open": boxes.some(({ open }) => open),
      behind: states.some(({ badge }) => badge),
      "is-unused": states.some(({ unused }) => unused),
      "is-failed": states.some(({ failed }) => failed),
    };
    const drawn = Object.entries(this.data.marks).filter(([style]) => marks[style]);
    for (const [style, text] of [...scheme.legend.filter(([style]) => shown.has(style)), ...drawn]) {
      const item = document.createElement("li");
      const swatch = svgElement("svg", { class: "diagram-drawing", width: 18, height: 15, "aria-hidden": "true" });
      swatch.append(keySwatch(style));
      item.append(swatch, text);
      this.legend.append(item);
    }
  }

  // Where a box of the drawing is in the window.
  place(number) {
    const box = this.boxes.get(number);
    if (!box) return null;
    const { margin } = diagramForm;
    const outer = this.drawing.getBoundingClientRect();
    const left = outer.left + (box.x - this.scene.left + margin) * this.zoom;
    const top = outer.top + (box.y + margin) * this.zoom;
    return { left, top, width: box.width * this.zoom, height: box.height * this.zoom };
  }

  // Keep what the reader looks at where it is while the drawing around it changes.
  drawAround(number) {
    const before = this.place(number);
    this.draw();
    const after = this.place(number);
    if (!before || !after) return;
    this.view.scrollLeft += after.left - before.left;
    this.view.scrollTop += after.top - before.top;
    this.repaint();
  }

  shownAround(number) {
    let shown = number;
    while (shown !== undefined && !this.boxes.has(shown)) shown = this.parents.get(shown);
    return shown ?? this.scene.boxes[0]?.number ?? 0;
  }

  // Opening, choosing, finding

  isOpen(number) {
    return Boolean(this.node(number).plan) && this.open.has(number);
  }

  setOpen(number, open) {
    for (const [diagram, place] of [[this, number], [this.other, this.partners[number] ?? -1]]) {
      if (!diagram || !diagram.data.nodes[place]?.plan) continue;
      if (open) diagram.open.add(place);
      else diagram.open.delete(place);
    }
  }

  toggle(number, open = !this.open.has(number)) {
    if (!this.node(number).plan) return;
    this.setOpen(number, open);
    this.drawAround(number);
    this.describe(number);
    keepOpen(this);
  }

  select(number, focus = true) {
    if (!this.boxes.has(number)) return;
    this.elements.get(this.current)?.setAttribute("tabindex", "-1");
    this.current = number;
    this.bring(number);
    if (!this.elements.has(number)) this.paint();
    const element = this.elements.get(number);
    element.setAttribute("tabindex", "0");
    if (focus) element.focus({ preventScroll: true });
    this.describe(number);
  }

  bring(number) {
    const outer = this.view.getBoundingClientRect();
    const inner = this.place(number);
    const height = Math.min(inner.height, 60 * this.zoom);
    if (inner.top < outer.top + 8 || inner.top + height > outer.bottom - 8) {
      this.view.scrollTop += inner.top + height / 2 - (outer.top + outer.height / 2);
    }
    if (inner.left < outer.left + 8 || inner.left + inner.width > outer.right - 8) {
      this.view.scrollLeft += inner.left + Math.min(inner.width, outer.width) / 2 - (outer.left + outer.width / 2);
    }
    this.repaint();
  }

  reveal(number) {
    for (let holder = this.parents.get(number); holder; holder = this.parents.get(holder)) this.setOpen(holder, true);
    this.draw();
  }

  // A path inside one of several equal blocks is drawn inside the first of them.
  resolve(path) {
    const inside = (block) => path === block || path.startsWith(`${block}.`);
    for (let tries = 0; tries < 20; tries += 1) {
      const number = this.data.nodes.findIndex((_, at) => at > 0 && this.path(at) === path);
      if (number > 0) return number;
      const standing = this.data.nodes.find((node) => node.repeats?.slice(1).some(inside));
      if (!standing) return -1;
      path = standing.repeats[0] + path.slice(standing.repeats.slice(1).find(inside).length);
    }
    return -1;
  }

  // The card, and the shape table

  describe(number) {
    this.tell(number);
    if (!this.other) return;
    const partner = this.partners[number] ?? -1;
    if (partner > 0) this.other.tell(partner);
    else this.other.card.textContent = "Nothing here belongs to that layer.";
    for (const element of this.other.elements.values()) element.classList.remove("is-partner");
    this.other.elements.get(partner)?.classList.add("is-partner");
  }

  tell(number) {
    const list = document.createElement("dl");
    this.data.facts.forEach((name, place) => {
      const text = this.node(number).facts?.[place];
      if (!text) return;
      const [term, value, inner] = ["dt", "dd", "bdi"].map((tag) => document.createElement(tag));
      term.textContent = name;
      inner.textContent = text;
      value.append(inner);
      list.append(term, value);
    });
    this.card.replaceChildren(list);
    if (!this.path(number) || !this.scope.querySelector("tr[data-path]")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Show in the table";
    button.addEventListener("click", () => this.showRow(number));
    this.card.append(button);
  }

  get scope() {
    return this.figure.closest("[data-trace], .diagram-pair") ?? document;
  }

  // The row of a path; of the block around it where a series of equal layers has one row for all.
  row(path) {
    for (let at = path.length; at > 0; at = path.lastIndexOf(".", at - 1)) {
      const row = this.scope.querySelector(`tr[data-path="${CSS.escape(path.slice(0, at))}"]`);
      if (row) return row;
    }
    return null;
  }

  showRow(number) {
    const detail = { path: this.path(number), diagram: this.figure.dataset.diagram };
    const asked = new CustomEvent("archlab:show-row", { bubbles: true, cancelable: true, detail });
    if (!this.figure.dispatchEvent(asked)) return;
    const row = this.row(detail.path);
    if (!row) return;
    for (const other of this.scope.querySelectorAll("tr.is-target")) other.classList.remove("is-target");
    row.classList.add("is-target");
    row.tabIndex = -1;
    row.focus({ preventScroll: true });
    row.scrollIntoView({ block: "center" });
  }

  showNode(path) {
    const number = this.resolve(path);
    if (number < 0) return;
    this.reveal(number);
    this.figure.scrollIntoView({ block: "nearest" });
    this.select(number);
  }

  // Zoom

  zoomTo(zoom, clientX, clientY) {
    const outer = this.view.getBoundingClientRect();
    const before = this.drawing.getBoundingClientRect();
    const x = clientX ?? outer.left + outer.width / 2;
    const y = clientY ?? outer.top + outer.height / 2;
    const [across, down] = [(x - before.left) / this.zoom, (y - before.top) / this.zoom];
    this.zoom = Math.min(4, Math.max(0.02, zoom));
    this.resize();
    if (this.other?.scene && this.other.zoom !== this.zoom) {
      this.other.zoom = this.zoom;
      this.other.resize();
      this.other.paint();
    }
    const after = this.drawing.getBoundingClientRect();
    this.view.scrollLeft += after.left + across * this.zoom - x;
    this.view.scrollTop += after.top + down * this.zoom - y;
    this.repaint();
  }

  // What the view can show, however little of that the drawing fills now.
  room() {
    return [this.view.clientWidth, parseFloat(getComputedStyle(this.view).maxHeight) || this.view.clientHeight];
  }

  // In as many columns as make it largest in the view.
  fit() {
    const [wide, high] = this.room();
    if (!this.other) {
      this.ratio = wide / high;
      this.bar.elements.columns.checked = true;
    }
    this.draw();
    const widest = Math.max(this.scene.width, this.other?.scene.width ?? 0);
    this.zoomTo(Math.min(1, wide / widest, high / this.scene.full));
    this.view.scrollTo(0, 0);
  }

  // A hit can be read, and stands in the middle.
  zoomIn(number) {
    if (this.zoom < 0.9) this.zoomTo(1);
    const outer = this.view.getBoundingClientRect();
    const inner = this.place(number);
    if (!inner) return;
    this.view.scrollTop += inner.top + Math.min(inner.height, outer.height) / 2 - (outer.top + outer.height / 2);
    this.view.scrollLeft += inner.left + Math.min(inner.width, outer.width) / 2 - (outer.left + outer.width / 2);
    this.repaint();
  }
}
