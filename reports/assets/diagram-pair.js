// Two diagrams side by side: partners at one height, and what a reader does to one done to the other.

const pairPasses = 3;

// The scenes of both, with as much room above each layer that has a partner as that needs.
function composePair(one, other) {
  const sides = [one, other];
  for (const side of sides) side.gaps = new Map();
  let scenes = sides.map((side) => composeScene(side.data, side));
  for (let pass = 0; pass < pairPasses && widenGaps(sides, scenes); pass += 1) {
    scenes = sides.map((side) => composeScene(side.data, side));
  }
  const height = Math.max(...scenes.map((scene) => scene.height));
  for (const scene of scenes) scene.height = height;
  return scenes;
}

// From top to bottom: who stands higher than its partner gets room above it, which moves all below it; whether anyone did.
// Room beside other columns may move less than that, which the next pass makes up for.
function widenGaps(sides, scenes) {
  const places = new Map(scenes[1].boxes.map((box) => [box.number, box]));
  const pairs = scenes[0].boxes.map((box) => [box, places.get(sides[0].partners[box.number])]).filter(([, box]) => box);
  pairs.sort((first, second) => first[0].y - second[0].y || first[1].y - second[1].y);
  const moved = [0, 0];
  let lowest = -Infinity;
  for (const pair of pairs) {
    if (pair[1].y < lowest) continue; // they cross: only one of the two can be met
    lowest = pair[1].y;
    const lack = pair[1].y + moved[1] - pair[0].y - moved[0];
    if (Math.abs(lack) < 0.01) continue;
    const side = lack > 0 ? 0 : 1;
    addGap(sides[side], pair[side].number, Math.abs(lack));
    moved[side] += Math.abs(lack);
  }
  return moved[0] + moved[1] > 0;
}

function addGap(diagram, number, room) {
  const parent = diagram.parents.get(number);
  const { plan, entries, children } = diagram.node(parent);
  const row = plan.rows[entries.length + children.indexOf(number)];
  const gaps = diagram.gaps.get(parent) ?? Array(plan.forks.length).fill(0);
  gaps[row] += room;
  diagram.gaps.set(parent, gaps);
}

// What is done to one of the two is done to the other.
function linkDiagrams(diagrams) {
  for (const diagram of diagrams) {
    const other = diagrams.find(({ data }) => data.name && data.name === diagram.data.other);
    if (!other) continue;
    diagram.other = other;
    diagram.view.addEventListener("scroll", () => {
      if (other.view.scrollTop !== diagram.view.scrollTop) other.view.scrollTop = diagram.view.scrollTop;
    });
  }
}
