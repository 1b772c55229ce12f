// A slider that moves by itself, from where it stands to its end, where it stops.

const FILM_TIME = 8000; // milliseconds for all positions, as far as none is shown for less or more than these
const SHORTEST_VIEW = 60;
const LONGEST_VIEW = 150;

function startPlaying(button, form, panel) {
  const slider = form.elements.namedItem(button.dataset.of);
  const output = slider.parentElement.querySelector("output");
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const name = () => {
    const [word, rest] = panel.plays ? ["Pause", "the steps"] : still.matches ? ["Next", "tenth of the steps"] : ["Play", "the steps"];
    button.textContent = word;
    button.setAttribute("aria-label", `${word} ${rest}`);
  };
  const last = () => Number(slider.max);
  const start = () => (Number(slider.value) < last() ? Number(slider.value) : 0);

  async function play() {
    const [from, began] = [start(), performance.now()];
    const pace = Math.min(LONGEST_VIEW, Math.max(SHORTEST_VIEW, FILM_TIME / last()));
    panel.plays = true;
    output.setAttribute("aria-live", "off"); // nobody wants to hear each step
    name();
    while (panel.plays && slider.isConnected) {
      const place = Math.min(last(), from + Math.floor((performance.now() - began) / pace));
      if (place !== Number(slider.value)) enter(slider, place);
      await panel.drawing;
      if (place >= last()) break;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    panel.plays = false;
    name();
    output.removeAttribute("aria-live");
    output.textContent = textOf(panel.controls.find((control) => control.name === slider.name), panel); // read out now
    for (const figure of drawn) if (figure.panel === panel) waiting.add(figure); // those out of sight have stood still
    drawWaiting();
  }

  still.addEventListener("change", name);
  form.addEventListener("input", (event) => {
    if (event.isTrusted && event.target === slider) panel.plays = false; // the reader takes over
  });
  button.addEventListener("click", () => {
    if (panel.plays) panel.plays = false;
    else if (still.matches) enter(slider, start() + Math.min(Math.ceil(last() / 10), last() - start()));
    else play();
  });
  name();
}

function isFar(figure) {
  return distance(figure) > innerHeight / 2;
}
