// Charts: drawn when they come near the window, and again when a control of their panel or the theme changes.

const drawn = new Set();
let library = null;

function plotly() {
  // plotly.js waits in the page in compressed form; it is unpacked once, when the first chart is needed.
  library ??= (async () => {
    const packed = bytesOf(document.getElementById("plotly-js").textContent.trim());
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    return window.Plotly;
  })();
  return library;
}

const figures = [];

function styledAxis(axis, theme) {
  return {
    gridcolor: theme.color("grid", 1),
    linecolor: theme.color("line", 1),
    zerolinecolor: theme.color("line", 1),
    automargin: true,
    ...axis,
    title: { standoff: 12, ...(axis.title ?? {}) },
  };
}

function fewerNames(axis, width) {
  // Upright names need 14 pixels each; about 160 are taken by what is beside the axis.
  const apart = Math.ceil(axis.tickvals.length / Math.max(4, Math.floor((width - 160) / 14)));
  const kept = (_, place) => place % apart === 0;
  return { ...axis, tickvals: axis.tickvals.filter(kept), ticktext: axis.ticktext.filter(kept) };
}

function specification(figure) {
  const theme = currentTheme();
  const state = figure.panel.state;
  const resolved = resolve(figure.chart.layout, state, theme);
  const narrow = figure.plot.clientWidth < 480;
  const layout = {
    height: figure.chart.height,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: theme.font, size: narrow ? 11 : 12, color: theme.color("text", 1) },
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", bgcolor: "rgba(0,0,0,0)" },
    hoverlabel: {
      bgcolor: theme.color("surface", 1),
      bordercolor: theme.color("line", 1),
      font: { family: theme.font, size: 12, color: theme.color("text", 1) },
      namelength: 40,
    },
    colorway: [0, 1, 2, 3, 4, 5, 6, 7].map((index) => theme.color(`series-${index}`, 1)),
    ...resolved,
  };
  layout.margin = { l: narrow ? 44 : 56, r: 16, t: 12, b: 44, ...resolved.margin };
  for (const name of Object.keys(layout)) {
    if (/^[xy]axis\d*$/.test(name)) layout[name] = styledAxis(layout[name], theme);
    if (name === "xaxis" && layout.xaxis.type === "category") layout.xaxis = fewerNames(layout.xaxis, figure.plot.clientWidth);
  }
  const data = resolve(figure.chart.data, state, theme).flat();
  // Made once: with another one plotly would begin anew, and forget a zoom and what its legend hides.
  // Nothing in it leads out of the page: no logo, and no button that uploads the chart.
  figure.config ??= {
    displaylogo: false,
    showSendToCloud: false,
    plotlyServerURL: "",
    modeBarButtonsToRemove: ["toImage"], // the buttons above the chart save it with its title
    responsive: true,
    displayModeBar: narrow ? false : "hover",
  };
  return { data, layout, config: figure.config };
}

async function draw(figure) {
  const Plotly = await plotly();
  const { data, layout, config } = specification(figure);
  await Plotly.react(figure.plot, data, layout, config);
  if (!drawn.has(figure) && figure.chart.click) {
    figure.plot.on("plotly_click", ({ points: [point] }) => chooseAt(figure, point));
  }
  figure.element.dataset.drawn = "true";
  drawn.add(figure);
}

function chooseAt(figure, point) {
  // What stands at a point that was clicked, in the controls that the chart names.
  const form = document.querySelector(`form.controls[data-panel="${figure.element.dataset.panel}"]`);
  for (const [name, axis] of Object.entries(figure.chart.click)) {
    const control = figure.panel.controls.find((one) => one.name === name);
    const place = optionsOf(control, figure.panel).indexOf(point[axis]);
    if (place >= 0) enter(form.elements.namedItem(name), place);
  }
}

async function redraw(chosen = () => true) {
  for (const figure of drawn) if (chosen(figure)) await draw(figure);
}

function caption(panel) {
  // What the controls say that a chart depends on: paper has no controls, and a narrow page leaves them behind.
  const texts = new Map(panel.controls.map((control) => [control.name, textOf(control, panel)]));
  for (const figure of figures) {
    if (figure.panel !== panel) continue;
    const said = panel.controls.filter(({ name }) => figure.chart.controls.includes(name) && texts.get(name));
    const line = figure.element.querySelector(".chosen");
    if (line) line.textContent = said.map(({ name, label }) => `${label}: ${texts.get(name)}`).join(" · ");
  }
}

function failed(figure, error) {
  figure.plot.textContent = `This chart can't be drawn here: ${error.message}. Its numbers are behind the Data button.`;
}

const waiting = new Set();
let busy = false;

function distance(figure) {
  const { top, bottom } = figure.element.getBoundingClientRect();
  return Math.max(0, top - innerHeight, -bottom);
}

async function drawWaiting() {
  // The nearest first, and one at a time: between two charts the page paints and answers the reader.
  if (busy) return;
  busy = true;
  while (waiting.size) {
    const figure = Array.from(waiting).reduce((best, other) => (distance(other) < distance(best) ? other : best));
    waiting.delete(figure);
    await draw(figure).catch((error) => failed(figure, error));
    await new Promise((resolve) => setTimeout(resolve));
  }
  busy = false;
}

const nearing = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      nearing.unobserve(entry.target);
      waiting.add(figures.find((candidate) => candidate.element === entry.target));
    }
    drawWaiting();
  },
  { rootMargin: "400px" },
);

function startCharts(root) {
  const panels = new Set();
  for (const element of root.querySelectorAll("figure.chart")) {
    const panel = page.panels[element.dataset.panel];
    const figure = { element, panel, chart: panel.charts[element.dataset.chart], plot: element.querySelector(".plot") };
    figures.push(figure);
    figure.plot.style.minHeight = `${figure.chart.height}px`;
    nearing.observe(element);
    panels.add(panel);
    element.querySelector("button.data").addEventListener("click", () => download(figure));
    for (const button of element.querySelectorAll("button.picture")) {
      button.addEventListener("click", () => savePicture(figure, button.dataset.format));
    }
  }
  panels.forEach(caption);
}

async function drawEverything() {
  for (const figure of figures) if (!drawn.has(figure)) await draw(figure);
}

// The numbers of a chart as it stands, one line per point.

function unescaped(text) {
  return String(text).replace(/<br>/g, " ").replace(/<[^>]*>/g, "").replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&");
}

function cell(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "";
  if (typeof value === "number") return String(Number(value.toPrecision(7)));
  let text = unescaped(value);
  if (/^[=+\-@\t\r]/.test(text)) text = `'${text}`; // a spreadsheet would run it as a formula
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function rowsOf(trace) {
  if (trace.type === "heatmap" && trace.y) {
    const values = trace.customdata ?? trace.z;
    const at = (row, column) => (trace.transpose ? values[column][row] : values[row][column]);
    return Array.from(trace.y).flatMap((y, row) => Array.from(trace.x, (x, column) => [y, x, at(row, column)]));
  }
  if (trace.type === "contour") {
    const [across, up] = [Array.from(trace.x), Array.from(trace.y)];
    return up.flatMap((y, row) => across.map((x, column) => [x, y, trace.customdata[row][column]]));
  }
  if (trace.type === "treemap") return trace.labels.map((label, index) => [trace.parents[index], label, trace.values[index]]);
  const bars = trace.error_x ?? trace.error_y;
  const middle = trace.error_x ? trace.x : trace.y;
  const texts = Array.isArray(trace.text) ? trace.text : null;
  return Array.from(trace.y ?? [], (value, index) => [
    trace.name,
    trace.x[index],
    value,
    texts ? texts[index] : null,
    bars?.array ? middle[index] - bars.arrayminus[index] : null,
    bars?.array ? middle[index] + bars.array[index] : null,
  ]).filter((row) => row[1] !== null);
}

const HEADS = {
  treemap: ["inside", "layer", "value"],
  contour: ["x", "y", "value"],
};

function table(figure) {
  const { data, layout } = specification(figure);
  const ticks = (axis, value) => {
    // Along an axis of names only some of them are written, and short.
    const place = axis?.ticktext && axis.type !== "category" ? axis.tickvals.indexOf(value) : -1;
    return place < 0 ? value : axis.ticktext[place];
  };
  const kind = data[0]?.type;
  const named = kind === "heatmap" && data[0].y;
  const title = (axis) => axis.title.text;
  // Columns are called what the axes say; a picture of several axes leaves that to its series.
  const single = !Object.keys(layout).some((name) => /^[xy]axis\d/.test(name));
  const called = (axis, name) => (single && typeof axis?.title?.text === "string" ? axis.title.text : name);
  const head = named ? [title(layout.yaxis), title(layout.xaxis), "value"] : HEADS[kind] ?? ["series", called(layout.xaxis, "x"), called(layout.yaxis, "y"), "label", "low", "high"];
  // A mark on a contour is no point of it.
  const body = data.filter((trace) => trace.visible !== false && (kind !== "contour" || trace.type === kind)).flatMap(rowsOf);
  return [head, ...body.map(([name, x, y, ...rest]) => [name, ticks(layout.xaxis, x), ticks(layout.yaxis, y), ...rest])];
}

function csv(rows) {
  return rows.map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

function save(name, text, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

async function savePicture(figure, format) {
  // The chart as it stands, with its title, on the page's own background.
  const Plotly = await plotly();
  const theme = currentTheme();
  const { data, layout } = specification(figure);
  const { width, height } = figure.plot.getBoundingClientRect();
  const title = figure.element.querySelector(".chart-title").textContent;
  const top = 40 + (layout.margin.t ?? 0);
  const picture = {
    data,
    layout: {
      ...layout,
      width: Math.round(width),
      height: Math.round(height) + 40,
      paper_bgcolor: theme.color("surface", 1),
      margin: { ...layout.margin, t: top },
      title: { text: escaped(title), x: 0, xref: "paper", y: 1, yref: "container", yanchor: "top", pad: { t: 12 }, font: { size: 15 } },
    },
    config: { ...figure.config, staticPlot: true },
  };
  const address = await Plotly.toImage(picture, { format, width: picture.layout.width, height: picture.layout.height, scale: format === "png" ? 2 : 1 });
  const link = document.createElement("a");
  link.href = address;
  link.download = `${figure.element.dataset.panel}-${figure.element.dataset.chart}.${format}`;
  link.click();
}

function escaped(text) {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function download(figure) {
  const name = `${figure.element.dataset.panel}-${figure.element.dataset.chart}.csv`;
  save(name, csv(table(figure)), "text/csv;charset=utf-8");
}
