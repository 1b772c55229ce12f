// The architecture diagram in a page: coordinates, as geometry.py and scene.py of reports/diagram come to them.

const diagramForm = {
  spacing: 18, gap: 24, track: 8, label: 15, lead: 8, arrow: 14,
  header: 30, padding: 16, foot: 14, pill: [118, 26], margin: 16, rounding: 6,
  letter: 6, titleLetter: 7.7, subtitleLetter: 5.9, amount: 13, widest: 460,
};

// `gaps` is what is left free above each row, beside what a plan asks for.
function placeNodes(plan, sizes, gaps) {
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
    height += gaps?.[row] ?? 0;
    tops.push(height);
    height += heights[row];
    bottoms.push(height);
    labels.push(height + form.track * plan.forks[row] + form.label);
    if (row < rows - 1) {
      height += form.gap + form.track * (plan.forks[row] + plan.taps[row]) + (labelled[row] ? form.label : 0);
    } else if (labelled[row]) height += form.label + form.lead;
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
    const [width, height] = node.size;
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
  const placed = placeNodes(node.plan, sizes, state.gaps?.get(number));
  const first = node.entries.length;
  const left = Math.max(form.padding - placed.left, node.size[0] / 2);
  const size = {
    left,
    right: Math.max(form.padding + placed.right, node.size[0] / 2, headerWidth(node) - left),
    height: form.header + placed.height + (node.exits ? 0 : form.foot),
    label: node.exits || node.failed ? 0 : label,
    outlets: placed.nodes.slice(placed.nodes.length - node.exits).map(([x]) => x),
    inlets: placed.nodes.slice(0, first).map(([x]) => x),
  };
  return { number, size, placed, children };
}

function headerWidth(node) {
  const { titleLetter, subtitleLetter, widest } = diagramForm;
  const said = [node.subtitle, node.amount].filter(Boolean).join(", ");
  const badge = node.badge ? 8 * letters(node.badge).length + 18 : 0;
  const wide = 46 + titleLetter * letters(node.title).length + subtitleLetter * letters(said).length + badge;
  return Math.min(wide, widest);
}

function composeScene(data, state) {
  const scene = { boxes: [], frames: [], connectors: [], labels: [], terminals: [] };
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
  const drawn = new Set();
  plan.wires.forEach((wire, number) => {
    const [target, skip] = [wire[1], Boolean(wire[8])];
    const corners = placed.wires[number].map(([across, down]) => [x + across, y + down]);
    const arrow = target >= 0 && (target < leaving || level === 1);
    const key = `${corners} ${skip} ${arrow}`;
    if (!drawn.has(key)) scene.connectors.push({ corners, skip, arrow });
    drawn.add(key);
  });
  for (const [top, bottom] of placed.buses) {
    scene.connectors.push({ corners: [[x + top[0], y + top[1]], [x + bottom[0], y + bottom[1]]], skip: true, thick: true });
  }
  const labels = entryLabels(node, level === 1);
  placed.nodes.forEach(([across, down], number) => {
    let text = number < first ? labels[number] : "";
    let failed = false;
    if (number >= first && number < leaving) {
      const child = measured.children[number - first];
      const { size } = child;
      text = size.label ? data.nodes[child.number].label : "";
      failed = Boolean(data.nodes[child.number].failed);
      const box = { number: child.number, x: x + across - size.left, y: y + down, width: size.left + size.right };
      scene.boxes.push({ ...box, height: size.height, open: Boolean(child.placed), level });
      if (child.placed) drawInside(data, scene, child, x + across, y + down + diagramForm.header, level + 1);
    }
    if (text) scene.labels.push({ text, failed, x: x + across + 6, y: y + placed.labels[plan.rows[number]] });
  });
}
