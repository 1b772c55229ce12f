// Shape tables: depth, search, sorting by a click on a column's head, and choice of columns.

const MOST_ROWS = 500;

function written(value, column) {
  if (value === null || (value === 0 && column.blank)) return "";
  if (typeof value !== "number") return value;
  if (column.form === "bytes") {
    const power = Math.min(4, Math.floor(Math.log2(Math.max(value, 1)) / 10));
    return `${(value / 1024 ** power).toLocaleString("en", { maximumSignificantDigits: 3 })} ${["B", "KiB", "MiB", "GiB", "TiB"][power]}`;
  }
  if (column.form.endsWith("%")) return `${(100 * value).toFixed(1)} %`;
  return value.toLocaleString("en");
}

function startTables() {
  for (const block of document.querySelectorAll(".layers")) startTable(block, page.tables[block.dataset.table]);
}

function startTable(block, source) {
  const view = { depth: 1, search: "", sort: null, descending: false, limit: MOST_ROWS, hidden: new Set(source.hidden) };
  const body = block.querySelector("tbody");
  const heads = Array.from(block.querySelectorAll("thead th"));
  const status = block.querySelector(".status");
  const more = block.querySelector(".more");
  const places = source.columns.map((column) => column.name);

  function chosen() {
    const wanted = view.search.toLowerCase();
    const rows = source.rows.filter(
      (row) => (wanted ? `${row[0]} ${row[1]}`.toLowerCase().includes(wanted) : row.at(-1) <= view.depth),
    );
    if (view.sort === null) return rows;
    const sign = view.descending ? -1 : 1;
    return rows.toSorted((left, right) => {
      const [a, b] = [left[view.sort], right[view.sort]];
      if (a === null || b === null) return a === b ? 0 : a === null ? 1 : -1;
      return sign * (typeof a === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true }));
    });
  }

  function show() {
    const rows = chosen();
    body.replaceChildren(
      ...rows.slice(0, view.limit).map((row) => {
        const line = document.createElement("tr");
        line.dataset.path = row[0];
        source.columns.forEach((column, place) => {
          if (view.hidden.has(column.name)) return;
          const box = document.createElement(place ? "td" : "th");
          if (!place) {
            box.scope = "row";
            if (view.sort === null && !view.search) box.style.setProperty("--level", row.at(-1) - 1);
          }
          if (column.number) box.className = "number";
          const text = document.createElement("bdi");
          text.textContent = written(row[place], column);
          box.append(text);
          line.append(box);
        });
        return line;
      }),
    );
    heads.forEach((head, place) => {
      head.hidden = view.hidden.has(places[place]);
      head.setAttribute("aria-sort", view.sort !== place ? "none" : view.descending ? "descending" : "ascending");
    });
    status.textContent = `${Math.min(rows.length, view.limit)} of ${source.rows.length} rows`;
    more.hidden = rows.length <= view.limit;
  }

  function reveal(path) {
    const row = source.rows.find((candidate) => candidate[0] === path);
    if (!row) return false;
    Object.assign(view, { search: "", sort: null, depth: Math.max(view.depth, row.at(-1)), limit: source.rows.length });
    block.querySelector("[name=search]").value = "";
    block.querySelector("[name=depth]").value = view.depth;
    show();
    const line = Array.from(body.rows).find((candidate) => candidate.dataset.path === path);
    line.tabIndex = -1;
    line.classList.add("shown");
    line.scrollIntoView({ block: "center" });
    line.focus({ preventScroll: true });
    return true;
  }

  block.closest("[data-trace]").addEventListener("archlab:show-row", (event) => {
    if (reveal(event.detail.path)) event.preventDefault();
  });

  heads.forEach((head, place) => {
    head.querySelector("button").addEventListener("click", () => {
      if (view.sort === place && view.descending !== source.columns[place].number) {
        view.sort = null; // the third click brings back the order of execution
      } else if (view.sort === place) {
        view.descending = !view.descending;
      } else {
        view.sort = place;
        view.descending = source.columns[place].number;
      }
      show();
    });
  });
  block.querySelector("[name=search]").addEventListener("input", (event) => {
    view.search = event.target.value;
    show();
  });
  block.querySelector("[name=depth]").addEventListener("input", (event) => {
    view.depth = Number(event.target.value);
    show();
  });
  for (const box of block.querySelectorAll("[name=column]")) {
    box.addEventListener("input", () => {
      if (box.checked) view.hidden.delete(box.value);
      else view.hidden.add(box.value);
      show();
    });
  }
  more.addEventListener("click", () => {
    view.limit += 10 * MOST_ROWS;
    show();
  });
  block.querySelector("button.data").addEventListener("click", () => {
    const head = source.columns.map((column) => column.title);
    const rows = source.rows.map((row) => source.columns.map((_, place) => row[place]));
    save(`${block.dataset.table}.csv`, csv([head, ...rows]), "text/csv;charset=utf-8");
  });
  block.querySelector(".tools").hidden = false;
  show();
}
