// Light and dark: the style sheet holds both colours of each name, charts read them from there.

const scales = {
  light: {
    sequential: [[0, "#00224e"], [0.25, "#35456c"], [0.5, "#7c7b78"], [0.75, "#bcae6c"], [1, "#fee838"]],
    diverging: [[0, "#01665e"], [0.25, "#80cdc1"], [0.5, "#f5f5f3"], [0.75, "#dfc27d"], [1, "#8c510a"]],
  },
  dark: {
    sequential: [[0, "#00224e"], [0.25, "#35456c"], [0.5, "#7c7b78"], [0.75, "#bcae6c"], [1, "#fee838"]],
    diverging: [[0, "#6fd6c6"], [0.25, "#1f7f74"], [0.5, "#20262d"], [0.75, "#8a6420"], [1, "#e6b85c"]],
  },
};

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function currentTheme() {
  const style = getComputedStyle(document.documentElement);
  // A property's value is the style sheet's text: light-dark(#ffffff, #1a2027).
  const hex = (name) => style.getPropertyValue(`--${name}`).match(/#[0-9a-f]{6}/g)[isDark() ? 1 : 0];
  return {
    font: style.getPropertyValue("--font"),
    color(name, alpha) {
      const value = hex(name);
      if (alpha === 1) return value;
      const [red, green, blue] = [1, 3, 5].map((place) => parseInt(value.slice(place, place + 2), 16));
      return `rgba(${red},${green},${blue},${alpha})`;
    },
    tint(name) {
      // A third of the colour on the surface: light enough, or dark enough, for text in the page's own colour.
      const channels = (value) => [1, 3, 5].map((place) => parseInt(value.slice(place, place + 2), 16));
      const [ink, paper] = [channels(hex(name)), channels(hex("surface"))];
      return `rgb(${ink.map((value, place) => Math.round(0.36 * value + 0.64 * paper[place])).join(",")})`;
    },
    scale: (name) => scales[isDark() ? "dark" : "light"][name],
  };
}

function setTheme(name) {
  // Without a name it is the system's.
  if (name) document.documentElement.dataset.theme = name;
  else delete document.documentElement.dataset.theme;
  document.getElementById("theme")?.setAttribute("aria-pressed", String(isDark()));
}

function startTheme(redraw) {
  const button = document.getElementById("theme");
  button.hidden = false;
  button.setAttribute("aria-pressed", String(isDark()));
  button.addEventListener("click", () => {
    setTheme(isDark() ? "light" : "dark");
    keepTheme();
    redraw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
}
