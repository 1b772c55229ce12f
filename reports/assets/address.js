// What the reader chose in a panel, kept in the page's address: `#PANEL?layer=norm_2&channel=3&step=15`.

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
    history.replaceState(history.state, "", `#${name}${said.length ? `?${said.join("&")}` : ""}`);
  }, 300);
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
