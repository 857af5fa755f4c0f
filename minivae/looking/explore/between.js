// The third part: two test images and the pictures on the straight line between their mu.
// It starts the other parts too, and gives the page's functions a name for the console.

const between = (() => {
  const STEPS = 9;
  const chosen = { from: startImage(13), to: startImage(18) };
  const ends = {};
  const slider = byId("mix-slider");
  const strip = Array.from({ length: STEPS }, (_, k) => {
    const canvas = element("canvas", { "aria-hidden": "true" });
    const button = element("button", { type: "button", "aria-label": `step ${k + 1} of ${STEPS}` }, canvas);
    button.addEventListener("click", () => {
      slider.value = k / (STEPS - 1);
      redraw();
    });
    return { canvas, button };
  });

  const at = (t) => ends.from.map((value, i) => (1 - t) * value + t * ends.to[i]);

  function redraw() {
    const t = Number(slider.value);
    paint(byId("mix"), decode(at(t)));
    byId("mix-value").textContent = shown(t);
    const nearest = Math.round(t * (STEPS - 1));
    strip.forEach(({ button }, k) => button.setAttribute("aria-pressed", String(k === nearest)));
  }
  const redrawSoon = oncePerFrame(redraw);

  function choose(end, n) {
    chosen[end] = n;
    marks[end](n);
    ends[end] = encode(testImage(n)).mu;
    if (!ends.from || !ends.to) return;
    strip.forEach(({ canvas }, k) => paint(canvas, decode(at(k / (STEPS - 1)))));
    redraw();
  }
  const marks = {
    from: thumbnails(byId("from"), (n) => choose("from", n)),
    to: thumbnails(byId("to"), (n) => choose("to", n)),
  };

  function again() {
    choose("from", chosen.from);
    choose("to", chosen.to);
  }

  function start() {
    byId("strip").replaceChildren(...strip.map(({ button }) => button));
    slider.addEventListener("input", redrawSoon);
    again();
  }

  return { start, redraw, again };
})();

space.start();
drawing.start();
between.start();
const told = byId("told"); // where the model is told labels
if (told) {
  told.addEventListener("change", () => {
    tell(told.selectedIndex);
    space.redraw();
    drawing.redraw();
    between.again();
  });
}
window.minivae = { facts, encode, decode, loss, space, drawing, between };
