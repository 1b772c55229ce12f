// The architecture diagram in a page: a tall scene in columns, as wrapping.py of reports/diagram makes them.

const columnForm = {
  most: 16, gutter: 40, lane: 14, title: 24, foot: 28, gain: 1.15, cost: 0.06, shortest: 0.5, rooms: [1, 1.06, 1.12, 1.18],
};

function pairsOf(points) {
  return points.slice(1).map((point, at) => [points[at], point]);
}

function headOf({ frames, crossings }) {
  const { lane, title } = columnForm;
  return (crossings.length ? lane + diagramForm.track * crossings.length : 0) + title * frames.length;
}

function wrapScene(scene, ratio) {
  const { gutter, lane, most, gain, rooms } = columnForm;
  const { track } = diagramForm;
  const cuts = sceneCuts(scene);
  let best = scene;
  let largest = gain / Math.max((scene.right - scene.left) / ratio, scene.height);
  for (let count = 2, narrowest = 0; count <= most && narrowest * largest <= ratio; count += 1) {
    narrowest = Infinity;
    for (const room of rooms) {
      const columns = sceneColumns(scene, cuts, (room * scene.height) / count);
      let width = 0;
      let height = 0;
      let tracks = 0;
      columns.forEach((column, place) => {
        width += column.right - column.left + (place ? gutter + track * column.crossings.length : 0);
        height = Math.max(height, headOf(column) + column.bottom - column.top);
        tracks = Math.max(tracks, column.crossings.length);
      });
      narrowest = Math.min(narrowest, width);
      const size = 1 / Math.max(width / ratio, height + lane + track * tracks);
      if (size > largest * 1.0001) {
        best = arrangeColumns(scene, columns);
        largest = size;
      }
    }
  }
  return best;
}

function sceneCuts(scene) {
  const { header, pill } = diagramForm;
  const closed = [];
  for (const box of scene.boxes) {
    closed.push([box.y - 2, box.y + (box.open ? header + 6 : box.height) + 2]);
    if (box.open) closed.push([box.y + box.height - columnForm.foot, box.y + box.height + 2]);
  }
  for (const { y } of scene.labels) closed.push([y - 12, y + 4]);
  for (const { y } of scene.terminals) closed.push([y - 2, y + pill[1] + 2]);
  for (const line of scene.connectors) {
    for (const [[, y], [, below]] of pairsOf(line.corners)) if (y === below) closed.push([y - 7, y + 7]);
    const end = line.corners[line.corners.length - 1][1];
    if (line.arrow) closed.push([end - 9, end + 2]);
  }
  closed.sort((one, other) => one[0] - other[0] || one[1] - other[1]);
  const cuts = [];
  let reached = 0;
  for (const [top, bottom] of closed) {
    if (top - reached >= 2) {
      const y = (reached + top) / 2;
      const frames = scene.boxes.filter((box) => box.open && box.y < y && y < box.y + box.height);
      cuts.push([y, frames.length + crossingsAt(scene, y).length]);
    }
    reached = Math.max(reached, bottom);
  }
  return cuts;
}

function crosses({ corners }, y) {
  return corners[0][1] < y && y < corners[corners.length - 1][1];
}

function placeAt({ corners }, y) {
  return pairsOf(corners).find(([[, top], [, bottom]]) => top < y && y < bottom)[0][0];
}

function crossingsAt(scene, y) {
  const places = scene.connectors.filter((line) => crosses(line, y)).map((line) => placeAt(line, y));
  return Array.from(new Set(places)).sort((one, other) => one - other);
}

function sceneColumns(scene, cuts, height) {
  const { cost, shortest } = columnForm;
  const columns = [];
  for (let top = 0; top < scene.height; ) {
    let end = scene.height;
    if (end - top > height * 1.02) {
      const from = top;
      const near = cuts.filter(([y]) => from + height * shortest <= y && y <= from + height);
      const later = cuts.find(([y]) => y > from + 1);
      const loss = ([y, crossed]) => (from + height - y) / height + cost * crossed;
      if (near.length) [end] = near.reduce((best, cut) => (loss(cut) < loss(best) ? cut : best));
      else if (later) [end] = later;
    }
    columns.push(sceneColumn(scene, top, end));
    top = end;
  }
  return columns;
}

function sceneColumn(scene, top, bottom) {
  const { pill, letter } = diagramForm;
  let [left, right] = [Infinity, -Infinity];
  const reach = (start, end) => [left, right] = [Math.min(left, start), Math.max(right, end)];
  for (const box of scene.boxes) if (box.y < bottom && box.y + box.height > top) reach(box.x, box.x + box.width);
  for (const line of scene.connectors) for (const [x] of pieceOf(line, top, bottom)) reach(x, x);
  for (const { x, y, text } of scene.labels) if (top < y && y <= bottom) reach(x, x + letter * letters(text).length);
  for (const { x, y } of scene.terminals) if (top <= y && y < bottom) reach(x - pill[0] / 2, x + pill[0] / 2);
  const frames = scene.boxes.filter((box) => box.open && box.y < top && top < box.y + box.height);
  return { top, bottom, left, right, frames, crossings: top ? crossingsAt(scene, top) : [] };
}

function pieceOf(line, top, bottom) {
  const corners = line.corners.filter(([, y]) => top <= y && y <= bottom);
  if (crosses(line, top)) corners.unshift([placeAt(line, top), top]);
  if (crosses(line, bottom)) corners.push([placeAt(line, bottom), bottom]);
  return corners.length > 1 ? corners : [];
}

function arrangeColumns(scene, columns) {
  const { gutter, lane } = columnForm;
  const { track } = diagramForm;
  const made = { boxes: [], frames: [], connectors: [], labels: [], terminals: [], left: 0 };
  let across = 0;
  const moves = columns.map((column, place) => {
    across += place ? gutter + track * column.crossings.length : 0;
    const move = [across - column.left, headOf(column) - column.top];
    across += column.right - column.left;
    return move;
  });
  const foot = Math.max(...columns.map((column, place) => column.bottom + moves[place][1]));
  columns.forEach((column, place) => {
    moveInto(made, scene, column, moves[place]);
    if (place) joinColumns(made, scene, [columns[place - 1], moves[place - 1]], [column, moves[place]], foot);
  });
  const tracks = Math.max(...columns.map(({ crossings }) => crossings.length));
  return Object.assign(made, { right: across, height: foot + lane + track * tracks });
}

function moveInto(made, scene, column, [across, down]) {
  const { title } = columnForm;
  const { top, bottom, frames } = column;
  frames.forEach((box, level) => {
    const y = headOf(column) - title * (frames.length - level);
    const end = Math.min(box.y + box.height, bottom) + down;
    made.frames.push({ ...box, x: box.x + across, y, height: end - y });
  });
  for (const box of scene.boxes) {
    if (top > box.y || box.y >= bottom) continue;
    made.boxes.push({ ...box, x: box.x + across, y: box.y + down, height: Math.min(box.height, bottom - box.y) });
  }
  for (const line of scene.connectors) {
    const corners = pieceOf(line, top, bottom).map(([x, y]) => [x + across, y + down]);
    const ends = line.corners[line.corners.length - 1][1] <= bottom;
    if (corners.length) made.connectors.push({ ...line, corners, arrow: line.arrow && ends });
  }
  const shifted = (part) => ({ ...part, x: part.x + across, y: part.y + down });
  made.labels.push(...scene.labels.filter(({ y }) => top < y && y <= bottom).map(shifted));
  made.terminals.push(...scene.terminals.filter(({ y }) => top <= y && y < bottom).map(shifted));
}

function joinColumns(made, scene, [column, [across, down]], [following, [toAcross, toDown]], foot) {
  const { gutter, lane } = columnForm;
  const { track } = diagramForm;
  const cut = following.top;
  const edge = column.right + across;
  const kinds = new Map();
  for (const line of scene.connectors) {
    if (!crosses(line, cut)) continue;
    const x = placeAt(line, cut);
    const known = kinds.get(x) ?? { skip: true, thick: false };
    kinds.set(x, { skip: known.skip && line.skip, thick: known.thick || Boolean(line.thick) });
  }
  following.crossings.forEach((x, number) => {
    const turn = following.crossings.length - 1 - number;
    const low = foot + lane + track * turn;
    const side = edge + gutter / 2 + track * turn;
    const high = lane + track * turn - track;
    const outer = [[x + across, cut + down], [x + across, low], [side, low], [side, high]];
    const corners = [...outer, [x + toAcross, high], [x + toAcross, cut + toDown]];
    made.connectors.push({ ...kinds.get(x), corners, arrow: false });
  });
}
