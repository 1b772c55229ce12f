// What the reader chose, kept in the page's address: `#PANEL?layer=norm_2&channel=3&step=15&theme=dark`.

let keeping = 0;

function keep(name, panel) {
  // A slider and a film choose many times in a row; what they end with counts.
  clearTimeout(keeping);
  keeping = setTimeout(() => {
    const chosen = panel.controls.filter((control) => panel.state[control.name] !== panel.start[control.name]);
    const said = chosen.map((control) => {
      const value = control.kind === "range" ? textOf(control, panel) : panel.state[control.name];
      return `${encodeURIComponent(control.name)}=${encodeURIComponent(value)}`;
    });
    const theme = chosenTheme();
    if (theme) said.push(`theme=${theme}`);
    address(name, said);
  }, 300);
}

function address(name, said) {
  history.replaceState(history.state, "", `#${name}${said.length ? `?${said.join("&")}` : ""}`);
}

function chosenTheme() {
  return document.documentElement.dataset.theme;
}

function keepTheme() {
  const [name, said] = location.hash.slice(1).split("?");
  const others = (said ?? "").split("&").filter((part) => part && !part.startsWith("theme="));
  address(name, [...others, `theme=${chosenTheme()}`]);
}

function takeUp(panel, wanted) {
  // In the panel's order, since the options of a control depend on those before it; what is no option changes nothing.
  for (const control of panel.controls) {
    if (!wanted.has(control.name)) continue;
    const value = wanted.get(control.name);
    const options = control.kind === "toggle" ? ["on", "off"] : optionsOf(control, panel);
    const place = options.findIndex((option) => String(control.kind === "select" ? option[0] : option) === value);
    if (place < 0) continue;
    panel.state[control.name] = control.kind === "range" ? place : value;
    panel.refill();
  }
}

function followAddress() {
  const [name, said] = location.hash.slice(1).split("?");
  const theme = new URLSearchParams(said).get("theme");
  if (["light", "dark"].includes(theme) && theme !== chosenTheme()) {
    setTheme(theme);
    redraw();
  }
  if (!said || !Object.hasOwn(page.panels, name)) return;
  const panel = page.panels[name];
  takeUp(panel, new URLSearchParams(said));
  caption(panel);
  redraw((figure) => figure.panel === panel);
  document.getElementById(name)?.scrollIntoView();
}

function startAddress() {
  addEventListener("hashchange", followAddress);
  followAddress();
}
