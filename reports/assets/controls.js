// Controls of a panel: native form elements whose values are the panel's state.

function optionsOf(control, panel) {
  const options = resolve(control.options, panel.state, currentTheme());
  return Array.isArray(options) || ArrayBuffer.isView(options) ? Array.from(options) : [];
}

function textOf(control, panel) {
  // What a control says, in words; nothing for what is off.
  const value = panel.state[control.name];
  if (control.kind === "toggle") return value === "on" ? "on" : "";
  const options = optionsOf(control, panel);
  if (control.kind === "range") return options.length ? String(options[clamp(value, options.length)]) : "";
  return unescaped(options.find(([one]) => one === value)?.[1] ?? "");
}

function fill(element, control, panel) {
  const options = optionsOf(control, panel);
  if (control.kind === "toggle") {
    element.checked = panel.state[control.name] === "on";
  } else if (control.kind === "range") {
    element.max = Math.max(0, options.length - 1);
    panel.state[control.name] = clamp(panel.state[control.name], options.length);
    element.value = panel.state[control.name];
    const text = textOf(control, panel) || "–";
    element.setAttribute("aria-valuetext", text);
    element.parentElement.querySelector("output").textContent = text;
  } else {
    const known = options.map(([value]) => value);
    if (element.dataset.known !== JSON.stringify(known)) {
      element.replaceChildren(...options.map(([value, text]) => new Option(unescaped(text), value)));
      element.dataset.known = JSON.stringify(known);
    }
    if (!known.includes(panel.state[control.name])) panel.state[control.name] = known[0];
    element.value = panel.state[control.name];
  }
}

function startControls(root) {
  for (const form of root.querySelectorAll("form.controls[data-panel]")) {
    const panel = page.panels[form.dataset.panel];
    const refill = () => panel.controls.forEach((control) => fill(form.elements.namedItem(control.name), control, panel));
    let shown = null; // the state that the charts were drawn with; none while they are drawn anew
    refill();
    panel.start = { ...panel.state };
    panel.refill = refill;
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("input", (event) => {
      const element = event.target;
      const value = element.type === "checkbox" ? (element.checked ? "on" : "off") : element.value;
      shown ??= { ...panel.state };
      panel.state[element.name] = element.type === "range" ? Number(value) : value;
      refill();
      keep(form.dataset.panel, panel);
      if (panel.drawing) return;
      // A slider fires faster than charts can be drawn.
      panel.drawing = new Promise((done) => {
        requestAnimationFrame(async () => {
          const changed = Object.keys(panel.state).filter((name) => panel.state[name] !== shown[name]);
          shown = panel.drawing = null;
          caption(panel);
          const moves = ({ chart }) => chart.controls.some((name) => changed.includes(name));
          await redraw((figure) => figure.panel === panel && moves(figure) && !(panel.plays && isFar(figure)));
          done();
        });
      });
    });
    for (const button of form.querySelectorAll("button.play")) startPlaying(button, form, panel);
    form.hidden = false;
  }
}

function enter(element, value) {
  // As if the reader had.
  element.value = value;
  element.dispatchEvent(new Event("input", { bubbles: true }));
}

function choose(select, fits) {
  const option = Array.from(select.options).find(({ value }) => fits(value));
  if (!option) return;
  enter(select, option.value);
}

function startChoosing() {
  // A link that names a layer chooses it in the panel that it leads to, in the run of its variant.
  for (const link of document.querySelectorAll("a[data-layer]")) {
    link.addEventListener("click", () => {
      const form = document.querySelector(`form.controls[data-panel="${link.hash.slice(1)}"]`);
      choose(form.elements.namedItem("run"), (run) => run.startsWith(`${link.dataset.variant}, seed `));
      choose(form.elements.namedItem("layer"), (layer) => layer === link.dataset.layer);
    });
  }
}
