// The live page: each event is the whole state of one experiment, so that nothing is lost while nobody was connected.

const RETRY = 1500;
let work = Promise.resolve();

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

async function take(board) {
  const section = document.getElementById(board.anchor);
  if (!section) return;
  const standing = section.querySelector(".standing");
  const places = Array.from(standing.querySelectorAll(".scroll"), (element) => [element.scrollLeft, element === document.activeElement]);
  standing.innerHTML = board.standing; // written by the server, every name in it escaped
  standing.querySelectorAll(".scroll").forEach((element, place) => {
    const [left, focused] = places[place] ?? [0, false];
    element.scrollLeft = left;
    if (focused) element.focus({ preventScroll: true });
  });
  const panel = page.panels[board.panel];
  panel.charts = inlined(board.charts, board.pool);
  for (const figure of figures) {
    if (figure.panel !== panel) continue;
    const name = figure.element.dataset.chart;
    figure.chart = panel.charts[name];
    figure.element.querySelector("figcaption p").textContent = board.descriptions[name];
  }
  await redraw((figure) => figure.panel === panel);
}

function connect() {
  const source = new EventSource("events");
  source.addEventListener("open", () => connection("live", "Live"));
  source.addEventListener("boards", (event) => {
    const here = Array.from(document.querySelectorAll("section.experiment"), (element) => element.id);
    if (JSON.stringify(here) !== JSON.stringify(JSON.parse(event.data))) location.reload();
  });
  source.addEventListener("board", (event) => {
    const board = JSON.parse(event.data);
    work = work.then(() => take(board)).catch((error) => connection("waiting", `This page can't be drawn: ${error.message}`));
  });
  source.addEventListener("end", (event) => {
    source.close();
    connection("ended", JSON.parse(event.data));
  });
  source.addEventListener("error", () => {
    // Browsers differ in whether they try again when the server is gone, so the page does it by itself.
    source.close();
    connection("waiting", "The server is gone: trying again. What is shown is as it was last.");
    setTimeout(connect, RETRY);
  });
}

connect();
