// Shape tables: depth, series of repeats that open, search, sorting by a click on a column's head, choice of columns.

const MOST_ROWS = 500;

function written(value, column) {
  if (value === null || (value === 0 && column.blank)) return "";
  if (typeof value !== "number") return value;
  if (column.form === "bytes") {
    const power = Math.min(4, Math.floor(Math.log2(Math.max(value, 1)) / 10));
    return `${(value / 1024 ** power).toLocaleString("en", { maximumSignificantDigits: 3 })} ${["B", "KiB", "MiB", "GiB", "TiB"][power]}`;
  }
  if (column.form === "seconds") {
    const [factor, unit] = value >= 0.9995 ? [1, "s"] : value >= 0.0009995 ? [1e3, "ms"] : [1e6, "us"];
    return `${(factor * value).toLocaleString("en", { maximumSignificantDigits: 3 })} ${unit}`;
  }
  if (column.form.endsWith("%")) return `${(100 * value).toFixed(1)} %`;
  return value.toLocaleString("en");
}

function startTables() {
  for (const block of document.querySelectorAll(".layers")) new LayerTable(block, page.tables[block.dataset.table]).start();
}

class LayerTable {
  constructor(block, source) {
    this.block = block;
    this.columns = source.columns;
    this.rows = readRows(source);
    this.failure = source.failure ?? { places: [], text: "" };
    this.layers = this.rows.filter((row) => row.single);
    this.body = block.querySelector("tbody");
    this.heads = Array.from(block.querySelectorAll("thead th"));
    this.tools = block.querySelector(".tools");
    this.status = block.querySelector(".status");
    this.more = block.querySelector(".more");
    this.depth = Math.max(1, ...this.failure.places.map((place) => this.rows[place].depth));
    this.search = "";
    this.folds = true;
    this.open = new Set();
    this.sort = null;
    this.descending = false;
    this.limit = MOST_ROWS;
    this.hidden = new Set(source.hidden);
    // On a phone what layers give comes first; the others are behind "Columns".
    if (matchMedia("(max-width: 600px)").matches) for (const name of ["kind", "layer"]) this.hidden.add(name);
    this.active = -1; // the row that takes the Tab key
  }

  start() {
    const { block, tools } = this;
    const follow = (name, take) => {
      for (const field of tools.querySelectorAll(`[name=${name}]`)) {
        field.addEventListener("input", () => {
          take(field);
          this.show();
        });
      }
    };
    follow("search", (field) => { this.search = field.value; });
    follow("depth", (field) => { this.depth = Number(field.value); });
    follow("folds", (field) => { this.folds = field.checked; });
    follow("column", (field) => (field.checked ? this.hidden.delete(field.value) : this.hidden.add(field.value)));
    for (const field of tools.querySelectorAll("[name=column]")) field.checked = !this.hidden.has(field.value);
    this.heads.forEach((head, place) => head.querySelector("button").addEventListener("click", () => this.order(place)));
    this.more.addEventListener("click", () => {
      this.limit += 2 * MOST_ROWS;
      this.show();
    });
    block.querySelector("button.data").addEventListener("click", () => this.download());
    this.body.addEventListener("click", (event) => {
      const button = event.target.closest("button.fold");
      if (button) this.toggle(this.rows[button.closest("tr").dataset.place]);
    });
    this.body.addEventListener("focusin", ({ target }) => {
      if (target.localName !== "tr" || !target.dataset.place) return;
      for (const line of this.body.rows) line.tabIndex = -1;
      target.tabIndex = 0;
      this.active = Number(target.dataset.place);
    });
    this.body.addEventListener("keydown", (event) => this.press(event));
    block.closest("[data-trace]").addEventListener("archlab:show-row", (event) => {
      if (this.reveal(event.detail.path)) event.preventDefault();
    });
    for (const part of block.querySelectorAll(".tools, .hint")) part.hidden = false;
    tools.querySelector("[name=depth]").value = this.depth;
    this.show();
  }

  // What shows: what a search finds, in any depth and any series; else the rows of the open depth and series.
  chosen() {
    const words = this.search.toLowerCase().split(/\s+/).filter(Boolean);
    let rows = this.rows;
    if (words.length) rows = this.layers.filter((row) => words.every((word) => row.text.includes(word)));
    else if (this.folds) rows = this.visible().filter((row) => row.depth <= this.depth);
    else rows = this.layers.filter((row) => row.depth <= this.depth);
    if (this.sort === null) return rows;
    const sign = this.descending ? -1 : 1;
    return rows.toSorted((left, right) => {
      const [a, b] = [left.cells[this.sort], right.cells[this.sort]];
      if (a === null || b === null) return a === b ? 0 : a === null ? 1 : -1;
      return sign * (typeof a === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true }));
    });
  }

  // The rows of closed series as sums, those of open ones by themselves.
  visible() {
    const shown = new Set();
    for (const row of this.rows) {
      if (!row.series || (shown.has(row.series) && row.member === this.open.has(row.series))) shown.add(row);
    }
    return Array.from(shown);
  }

  show() {
    const rows = this.chosen();
    const drawn = rows.slice(0, this.limit);
    const lines = drawn.map((row) => this.line(row));
    const active = lines.find((line) => Number(line.dataset.place) === this.active) ?? lines[0];
    if (active) active.tabIndex = 0;
    this.body.replaceChildren(...lines);
    const failed = drawn.findIndex((row) => row.place === this.failure.places.at(-1));
    if (failed >= 0) lines[failed].after(this.message());
    this.heads.forEach((head, place) => {
      head.hidden = this.hidden.has(this.columns[place].name);
      head.setAttribute("aria-sort", this.sort !== place ? "none" : this.descending ? "descending" : "ascending");
    });
    const sums = this.sort !== null && drawn.some((row) => row.count > 1) ? "; ×N rows are sorted by their sums" : "";
    this.status.textContent = `${drawn.length} of ${this.layers.length} rows${sums}`;
    this.more.hidden = rows.length <= this.limit;
  }

  line(row) {
    const line = document.createElement("tr");
    line.dataset.path = row.path;
    line.dataset.place = row.place;
    line.tabIndex = -1;
    this.columns.forEach((column, place) => {
      if (this.hidden.has(column.name)) return;
      const box = document.createElement(place ? "td" : "th");
      if (column.number) box.className = "number";
      const text = document.createElement("bdi");
      text.textContent = written(row.cells[place], column);
      box.append(text);
      if (!place) this.title(box, text, row);
      line.append(box);
    });
    return line;
  }

  title(box, text, row) {
    box.scope = "row";
    box.title = row.cells[0];
    if (this.sort === null && !this.search) {
      text.textContent = row.name;
      box.style.setProperty("--level", row.depth - 1 + (this.folds ? row.nested : 0));
    }
    if (row.count > 1) {
      const button = document.createElement("button");
      const isOpen = this.open.has(row);
      button.type = "button";
      button.className = "fold";
      button.textContent = `×${row.count}`;
      button.title = isOpen ? "Show them as one row" : `Show the ${row.count} one by one`;
      button.setAttribute("aria-expanded", String(isOpen));
      box.append(" ", button);
    }
    if (!this.failure.places.includes(row.place)) return;
    const mark = document.createElement("span");
    mark.className = "fault";
    mark.textContent = row.place === this.failure.places.at(-1) ? "✕ failed" : "✕ fails inside";
    box.append(" ", mark);
  }

  message() {
    const line = document.createElement("tr");
    const box = document.createElement("td");
    const text = document.createElement("span");
    line.className = "failure";
    box.colSpan = this.columns.length - this.hidden.size;
    box.append(text);
    text.textContent = `✕ Failed: ${this.failure.text}.`;
    line.append(box);
    return line;
  }

  order(place) {
    if (this.sort === place && this.descending !== this.columns[place].number) {
      this.sort = null; // the third click brings back the order of execution
    } else if (this.sort === place) {
      this.descending = !this.descending;
    } else {
      this.sort = place;
      this.descending = this.columns[place].number;
    }
    this.show();
  }

  toggle(row, open = !this.open.has(row)) {
    if (row.count < 2) return;
    if (open) this.open.add(row);
    else this.open.delete(row);
    const held = document.activeElement.matches("button.fold") ? "button.fold" : "th";
    this.show();
    const line = this.body.querySelector(`[data-place="${row.place}"]`);
    (held === "th" ? line : line.querySelector(held)).focus({ preventScroll: true });
  }

  // Arrows go from row to row, and open and close a series; Enter shows the layer in the diagram.
  press(event) {
    if (event.target.localName !== "tr" || event.ctrlKey || event.metaKey || event.altKey) return;
    const lines = Array.from(this.body.querySelectorAll("tr[data-place]"));
    const at = lines.indexOf(event.target);
    const row = this.rows[event.target.dataset.place];
    const go = (to) => lines[Math.max(0, Math.min(lines.length - 1, to))].focus();
    const detail = { path: row.path, diagram: `${this.block.dataset.table}-diagram` };
    const actions = {
      ArrowDown: () => go(at + 1),
      ArrowUp: () => go(at - 1),
      Home: () => go(0),
      End: () => go(lines.length - 1),
      ArrowRight: () => this.toggle(row, true),
      ArrowLeft: () => this.toggle(row, false),
      Enter: () => document.dispatchEvent(new CustomEvent("archlab:show-node", { detail })),
    };
    if (!Object.hasOwn(actions, event.key)) return;
    event.preventDefault();
    actions[event.key]();
  }

  // Show the row of a layer, which may be that of the series it begins.
  reveal(path) {
    const own = this.layers.find((row) => row.path === path);
    if (!own) return false;
    const row = (this.folds && this.visible().find((shown) => shown.path === path)) || own;
    if (row === own) for (let { series } = own; series; series = series.series) this.open.add(series);
    Object.assign(this, { search: "", sort: null, depth: Math.max(this.depth, row.depth) });
    this.tools.querySelector("[name=search]").value = "";
    this.tools.querySelector("[name=depth]").value = this.depth;
    this.limit = Math.max(this.limit, this.chosen().indexOf(row) + MOST_ROWS);
    this.show();
    const line = this.body.querySelector(`[data-place="${row.place}"]`);
    line.classList.add("shown");
    line.scrollIntoView({ block: "center" });
    line.focus({ preventScroll: true });
    return true;
  }

  download() {
    const head = this.columns.map((column) => column.title);
    save(`${this.block.dataset.table}.csv`, csv([head, ...this.layers.map((row) => row.cells)]), "text/csv;charset=utf-8");
  }
}

// The rows as shape_table of reports/sections/networks.py writes them.
function readRows({ columns, rows }) {
  const found = [];
  const paths = [""]; // of the rows around, by depth
  rows.forEach((values, place) => {
    const cells = values.slice(0, columns.length);
    const [depth, count = 1, series = -1, member = 0, path = cells[0]] = values.slice(columns.length);
    const row = { place, cells, depth, count, path, series: found[series] ?? null, member: Boolean(member) };
    row.nested = row.series ? row.series.nested + member : 0;
    const around = `${paths[depth - 1]}.`;
    row.name = cells[0].startsWith(around) ? cells[0].slice(around.length) : cells[0];
    paths[depth] = cells[0];
    row.alone = !row.series || (row.member && row.series.alone); // in no series, or in open ones only
    row.single = row.alone && count === 1;
    row.text = `${path} ${cells[1]}`.toLowerCase();
    found.push(row);
  });
  return found;
}
