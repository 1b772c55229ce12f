// Everything that waits for the reader.

function startPrinting() {
  let before = null; // what the reader chose, while the page is light for the paper
  const lighten = () => {
    before ??= { theme: document.documentElement.dataset.theme };
    setTheme("light");
  };
  addEventListener("beforeprint", () => {
    lighten();
    redraw().then(drawEverything); // at once, if plotly.js is there: the paper does not wait
  });
  addEventListener("afterprint", () => {
    setTheme(before?.theme);
    before = null;
    redraw();
  });
  const button = document.getElementById("print");
  button.hidden = false;
  button.addEventListener("click", async () => {
    lighten();
    for (const part of document.querySelectorAll("details")) part.open = true;
    await drawEverything();
    print();
  });
}

let reading = null;

function followReading() {
  // Marks in the contents where the reader is.
  reading?.disconnect();
  const links = new Map(Array.from(document.querySelectorAll("nav a"), (link) => [link.hash.slice(1), link]));
  reading = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        for (const link of links.values()) link.removeAttribute("aria-current");
        links.get(entry.target.id).setAttribute("aria-current", "true");
      }
    },
    { rootMargin: "-10% 0px -80% 0px" },
  );
  for (const name of links.keys()) {
    const part = document.getElementById(name);
    if (part) reading.observe(part);
  }
}

function startContents() {
  followReading();
  const contents = document.querySelector("nav details");
  if (contents) {
    const wide = matchMedia("(min-width: 1100px)");
    const follow = () => {
      contents.open = wide.matches;
    };
    wide.addEventListener("change", follow);
    follow();
  }
}

function startFolds() {
  // A link to a part that is closed opens it.
  const open = () => {
    const fold = document.getElementById(location.hash.slice(1).split("?")[0])?.querySelector(":scope > details:only-child");
    if (fold) fold.open = true;
  };
  addEventListener("hashchange", open);
  open();
}

function startCopying() {
  for (const button of document.querySelectorAll("button.copy")) {
    button.hidden = !navigator.clipboard;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.of).textContent);
      button.textContent = "Copied";
    });
  }
}

document.documentElement.classList.add("scripted");
startTheme(() => redraw());
startControls(document);
startTables();
startDiagrams();
startCharts(document);
startAddress();
startPrinting();
startContents();
startFolds();
startChoosing();
startCopying();
document.documentElement.dataset.ready = "true";
(window.requestIdleCallback ?? setTimeout)(() => figures.length && plotly());
