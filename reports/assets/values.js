// The page's data: arrays are decoded when a chart first needs them, and nodes that depend on a reader's choice or on
// the theme are filled in each time a chart is drawn. panel.py describes the nodes.

const page = JSON.parse(document.getElementById("archlab-data").textContent);
const decoded = new Map();
let halves = null;

function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let place = 0; place < text.length; place += 1) bytes[place] = text.charCodeAt(place);
  return bytes;
}

function halfValues() {
  // All 65,536 float16 numbers, so that a matrix is decoded by look-ups.
  const table = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits += 1) {
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    let value = exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
    if (exponent === 31) value = fraction ? NaN : Infinity;
    table[bits] = bits & 0x8000 ? -value : value;
  }
  return table;
}

function rowsFrom(values, columns) {
  const rows = [];
  for (let start = 0; start < values.length; start += columns) rows.push(values.subarray(start, start + columns));
  return rows;
}

function decode(entry) {
  if (entry.f4 !== undefined) {
    const exact = new Float32Array(bytesOf(entry.f4).buffer);
    return entry.columns === undefined ? exact : rowsFrom(exact, entry.columns);
  }
  halves ??= halfValues();
  const words = new Uint16Array(bytesOf(entry.f2).buffer);
  const values = new Float32Array(words.length);
  const factor = 2 ** entry.exponent;
  for (let place = 0; place < words.length; place += 1) values[place] = halves[words[place]] * factor;
  return rowsFrom(values, entry.columns);
}

function pooled(index, state, theme) {
  const entry = page.pool[index];
  if (Array.isArray(entry)) return entry;
  if (entry.$switch !== undefined) return resolve(entry, state, theme);
  if (!decoded.has(index)) decoded.set(index, decode(entry));
  return decoded.get(index);
}

function clamp(number, length) {
  return Math.max(0, Math.min(Number(number) || 0, length - 1));
}

function slice(whole, position, axis) {
  if (!whole || !whole.length) return [];
  if (!axis) return whole[clamp(position, whole.length)];
  return whole.map((row) => row[clamp(position, row.length)]);
}

function logarithm(rows) {
  return rows.map((row) => Float32Array.from(row, (value) => (value > 0 ? Math.log10(value) : NaN)));
}

function smoothed(values, weight) {
  if (!weight) return values;
  let average = 0;
  let weights = 0;
  return Array.from(values, (value) => {
    if (!Number.isFinite(value)) return value;
    average = weight * average + (1 - weight) * value;
    weights = weight * weights + (1 - weight);
    return average / weights;
  });
}

function density(node, state, theme) {
  const ratio = resolve(node.ratio, state, theme);
  const shift = resolve(node.shift, state, theme);
  return Array.from(resolve(node.$density, state, theme), (place) => Math.exp(-((place * Math.exp(ratio / 2) + shift) ** 2) / 2));
}

function resolve(node, state, theme) {
  if (node === null || typeof node !== "object" || ArrayBuffer.isView(node)) return node;
  if (Array.isArray(node)) return node.map((item) => resolve(item, state, theme));
  if (node.$ref !== undefined) return pooled(node.$ref, state, theme);
  if (node.$switch !== undefined) {
    const choice = String(state[node.$switch]);
    const key = Object.hasOwn(node.cases, choice) ? choice : Object.keys(node.cases)[0];
    return resolve(node.cases[key], state, theme);
  }
  if (node.$slice !== undefined) return slice(resolve(node.$slice, state, theme), state[node.at], node.axis);
  if (node.$pick !== undefined) {
    const whole = resolve(node.$pick, state, theme);
    return Array.from(resolve(node.places, state, theme), (place) => whole[place]);
  }
  if (node.$log !== undefined) return logarithm(resolve(node.$log, state, theme));
  if (node.$smooth !== undefined) return smoothed(resolve(node.$smooth, state, theme), Number(state[node.by]));
  if (node.$density !== undefined) return density(node, state, theme);
  if (node.$color !== undefined) return theme.color(node.$color, node.alpha ?? 1);
  if (node.$scale !== undefined) return theme.scale(node.$scale);
  return Object.fromEntries(Object.entries(node).map(([name, value]) => [name, resolve(value, state, theme)]));
}
