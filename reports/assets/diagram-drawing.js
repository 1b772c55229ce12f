// The architecture diagram in a page: its elements, as drawing.py of reports/diagram writes them.

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
  if (node.failed) names.push("is-failed");
  const { width, height } = box;
  let parts;
  if (node.symbol) {
    names.push("is-joint");
    parts = [svgBox(width, height, height / 2), svgText("symbol", width / 2, height / 2 + 4.5, node.symbol)];
  } else if (node.plan) {
    names.push("is-group");
    parts = groupParts(node, box);
  } else {
    parts = [...partsBehind(node, box, 5), svgBox(width, height, 5), ...leafParts(node, width, height / 2)];
  }
  if (node.failed) parts.push(...faultParts(width - (node.symbol ? 4 : 1)));
  const place = `translate(${Math.round(box.x * 100) / 100} ${Math.round(box.y * 100) / 100})`;
  return svgElement("g", { class: names.join(" "), "data-node": String(box.number), transform: place }, ...parts);
}

function faultParts(x) {
  return [
    svgElement("circle", { class: "fault", cx: x, cy: 2, r: 8 }),
    svgElement("path", { class: "fault", d: `M${Math.round((x - 3) * 100) / 100} -1l6 6m0 -6l-6 6` }),
  ];
}

function partsBehind(node, { width, height, open }, radius) {
  if (!node.badge || open) return [];
  return [6, 3].map((offset) => svgElement("rect", { class: "behind", x: offset, y: offset, width, height, rx: radius }));
}

function badgeParts(node, width, middle) {
  if (!node.badge) return { room: 0, badge: [] };
  const size = 8 * node.badge.length + 10;
  const left = width - size - 8;
  const badge = [
    svgElement("rect", { class: "badge", x: left, y: middle - 9, width: size, height: 18, rx: 9 }),
    svgText("badge-text", left + size / 2, middle + 4, node.badge),
  ];
  return { room: size + 8, badge };
}

function leafParts(node, width, middle) {
  const { titleLetter, subtitleLetter } = diagramForm;
  const { room, badge } = badgeParts(node, width, middle);
  const across = (width - room) / 2;
  const title = fittingText(node.title, width - room - 14, titleLetter);
  if (!node.subtitle) return [svgText("title", across, middle + 4, title), ...badge];
  const subtitle = fittingText(node.subtitle, width - room - 14, subtitleLetter);
  return [svgText("title", across, middle - 2, title), svgText("subtitle", across, middle + 12, subtitle), ...badge];
}

function groupParts(node, box) {
  const { titleLetter, subtitleLetter, header, amount } = diagramForm;
  const { width, height, open } = box;
  const middle = open ? header / 2 : height / 2;
  const chevron = open ? "M10 12.5l4.5 5l4.5 -5" : `M12 ${middle - 4.5}l5 4.5l-5 4.5`;
  const { room, badge } = badgeParts(node, width, middle);
  const parts = [...partsBehind(node, box, 7), svgBox(width, height, 7)];
  parts.push(svgElement("path", { class: "chevron", d: chevron }));
  if (open) {
    const title = fittingText(node.title, width - 32 - room, titleLetter);
    const beside = 26 + titleLetter * letters(title).length + 10;
    parts.push(svgText("title start", 26, 19.5, title));
    const said = [node.subtitle, node.amount].filter(Boolean).join(", ");
    const subtitle = fittingText(said, width - beside - room - 8, subtitleLetter);
    if (letters(subtitle).length > 5) parts.push(svgText("subtitle start", beside, 19.5, subtitle));
  } else {
    const title = fittingText(node.title, width - 34 - room, titleLetter);
    const subtitle = fittingText(node.subtitle, width - 34 - room, subtitleLetter);
    const line = middle - (node.amount ? amount / 2 : 0);
    parts.push(svgText("title start", 26, line - 3, title), svgText("subtitle start", 26, line + 12, subtitle));
    if (node.amount) {
      const text = fittingText(node.amount, width - 34, subtitleLetter);
      parts.push(svgText("subtitle start", 26, line + 12 + amount, text));
    }
  }
  return [...parts, ...badge];
}

function drawConnector(line) {
  const digits = (value) => Math.round(value * 100) / 100;
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
  if (line.thick) return [svgElement("path", { class: "bus", d: `${path}L${digits(x)} ${digits(y)}` })];
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

function drawLabel(label) {
  return svgText(label.failed ? "shape is-failed" : "shape", label.x, label.y, label.text);
}

function drawFrame(node, box) {
  const place = `translate(${Math.round(box.x * 100) / 100} ${Math.round(box.y * 100) / 100})`;
  const name = fittingText(`${node.title}, continued`, box.width - 20, diagramForm.subtitleLetter);
  const parts = [svgBox(box.width, box.height, 7), svgText("subtitle start", 10, 16, name)];
  return svgElement("g", { class: "is-open", transform: place }, ...parts);
}

function keySwatch(style) {
  if (/^(wire|bus)/.test(style)) return svgElement("path", { class: style, d: "M0 7H16" });
  const box = svgElement("rect", { class: "box", x: 1, y: 1, width: 15, height: 11, rx: 3 });
  if (style !== "behind") return svgElement("g", { class: `key ${style}` }, box);
  const other = svgElement("rect", { class: "behind", x: 3, y: 3, width: 14, height: 11, rx: 3 });
  return svgElement("g", { class: "key is-block" }, other, box);
}

function drawTerminal(end) {
  const [width, height] = diagramForm.pill;
  const place = `translate(${Math.round((end.x - width / 2) * 100) / 100} ${Math.round(end.y * 100) / 100})`;
  const box = svgElement("rect", { width, height, rx: 13 });
  const text = svgText("title", width / 2, 17, shortenedText(end.text, 16));
  return svgElement("g", { class: "terminal", transform: place }, box, text);
}
