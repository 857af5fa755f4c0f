// The second part: a picture drawn by hand, what the encoder says of it, and what comes back.
// The pad holds the very pixels that the encoder sees.

const drawing = (() => {
  const pad = byId("pad");
  const brush = Math.max(0.9, Math.min(ROWS, COLUMNS) / 20); // radius in pixels
  const draws = facts.draws;
  // Always the same draws, so that a picture's loss does not flicker.
  const steady = random.generator(7, "draws");
  const eps = Array.from({ length: draws }, () => random.normals(LATENT, steady));
  let x = new Float64Array(PIXELS);
  let isExample = false; // the first stroke on an example starts a fresh picture
  let last = null;
  let cursor = null; // [row, column] while the keyboard draws
  let lastMu = null;
  const rows = [];

  function redraw() {
    paint(pad, x);
    if (cursor) {
      const pen = pad.getContext("2d");
      pen.fillStyle = "rgba(124, 188, 214, 0.8)";
      pen.fillRect(cursor[1], cursor[0], 1, 1);
    }
    const { mu, logvar, nll, kl, nllAtMu } = loss(x, eps);
    lastMu = mu;
    paint(byId("echo"), decode(mu));
    for (const [id, value] of [["nll", nll], ["kl", kl], ["bound", nll + kl], ["nll-mu", nllAtMu]]) {
      byId(id).textContent = shown(value, 1);
    }
    const place = (value) => 100 * Math.min(1, Math.max(0, (value + 4) / 8));
    for (const { unit, band, mark, muCell, sigmaCell } of rows) {
      const sigma = Math.exp(logvar[unit] / 2);
      band.style.left = `${place(mu[unit] - sigma)}%`;
      band.style.right = `${100 - place(mu[unit] + sigma)}%`;
      mark.style.left = `${place(mu[unit])}%`;
      muCell.textContent = shown(mu[unit]);
      sigmaCell.textContent = shown(sigma);
    }
  }
  const redrawSoon = oncePerFrame(redraw);

  function set(pixels, example = false) {
    x = Float64Array.from(pixels);
    isExample = example;
    if (!example) markExample(-1);
    redrawSoon();
  }

  // The colour chosen for the brush, as three numbers from 0 to 1; of grey pictures none.
  const inkColour = () => byId("ink") && [1, 3, 5].map((at) => parseInt(byId("ink").value.slice(at, at + 2), 16) / 255);

  // A round brush with a soft edge: white ink never gets less, that of a colour covers.
  function dab(row, column) {
    const colour = inkColour();
    for (let r = Math.max(0, Math.floor(row - brush - 1)); r <= Math.min(ROWS - 1, row + brush + 1); r++) {
      for (let c = Math.max(0, Math.floor(column - brush - 1)); c <= Math.min(COLUMNS - 1, column + brush + 1); c++) {
        const ink = Math.min(1, Math.max(0, brush + 0.5 - Math.hypot(r - row, c - column)));
        for (let k = 0, i = (r * COLUMNS + c) * CHANNELS; k < CHANNELS; k++, i++) {
          x[i] = colour ? (1 - ink) * x[i] + ink * colour[k] : Math.max(x[i], ink);
        }
      }
    }
  }

  function strokeTo(row, column) {
    if (isExample) set(new Float64Array(PIXELS));
    const [fromRow, fromColumn] = last || [row, column];
    const steps = Math.max(1, Math.ceil(2 * Math.hypot(row - fromRow, column - fromColumn)));
    for (let k = 1; k <= steps; k++) {
      dab(fromRow + ((row - fromRow) * k) / steps, fromColumn + ((column - fromColumn) * k) / steps);
    }
    last = [row, column];
    redrawSoon();
  }

  function follow(event) {
    const box = pad.getBoundingClientRect();
    strokeTo(((event.clientY - box.top) / box.height) * ROWS - 0.5, ((event.clientX - box.left) / box.width) * COLUMNS - 0.5);
  }
  pad.addEventListener("pointerdown", (event) => {
    if (event.isTrusted) pad.setPointerCapture(event.pointerId);
    pad.dataset.held = "yes";
    last = cursor = null;
    follow(event);
  });
  pad.addEventListener("pointermove", (event) => {
    if (!pad.dataset.held) return;
    const between = event.getCoalescedEvents ? event.getCoalescedEvents() : [];
    (between.length ? between : [event]).forEach(follow);
  });
  for (const end of ["pointerup", "pointercancel"]) {
    pad.addEventListener(end, () => {
      delete pad.dataset.held;
      last = null;
    });
  }

  const ARROWS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  pad.addEventListener("keydown", (event) => {
    cursor = cursor || [ROWS >> 1, COLUMNS >> 1];
    if (ARROWS[event.key]) {
      cursor = [
        Math.min(ROWS - 1, Math.max(0, cursor[0] + ARROWS[event.key][0])),
        Math.min(COLUMNS - 1, Math.max(0, cursor[1] + ARROWS[event.key][1])),
      ];
      redrawSoon();
    } else if (event.key === " " || event.key === "Enter") {
      last = null;
      strokeTo(...cursor);
      last = null;
    } else if (event.key === "Backspace") {
      x.fill(0, ...[0, 1].map((more) => (cursor[0] * COLUMNS + cursor[1] + more) * CHANNELS));
      redrawSoon();
    } else if (event.key === "Delete") {
      set(new Float64Array(PIXELS));
    } else return;
    event.preventDefault();
  });
  pad.addEventListener("blur", () => {
    cursor = null;
    redrawSoon();
  });

  // Shift by whole pixels so that the ink's centre of mass comes to the middle, as in MNIST.
  function centred() {
    let ink = 0, rowSum = 0, columnSum = 0;
    x.forEach((value, i) => {
      ink += value;
      rowSum += value * Math.floor(i / CHANNELS / COLUMNS);
      columnSum += value * (Math.floor(i / CHANNELS) % COLUMNS);
    });
    if (!ink) return x;
    const down = Math.round((ROWS - 1) / 2 - rowSum / ink);
    const right = Math.round((COLUMNS - 1) / 2 - columnSum / ink);
    return x.map((_, i) => {
      const at = Math.floor(i / CHANNELS);
      const r = Math.floor(at / COLUMNS) - down, c = (at % COLUMNS) - right;
      return r >= 0 && r < ROWS && c >= 0 && c < COLUMNS ? x[(r * COLUMNS + c) * CHANNELS + (i % CHANNELS)] : 0;
    });
  }

  const markExample = thumbnails(byId("examples"), (n) => {
    set(testImage(n), true);
    markExample(n);
  });

  function start() {
    for (const unit of facts.order) {
      const band = element("i"), mark = element("b");
      const muCell = element("td"), sigmaCell = element("td");
      const track = element("td", { class: "wide" }, element("div", { class: "track", "aria-hidden": "true" }, band, mark));
      byId("stats").append(element("tr", {}, element("th", { scope: "row" }, `z[${unit}]`), track, muCell, sigmaCell));
      rows.push({ unit, band, mark, muCell, sigmaCell });
    }
    byId("clear").addEventListener("click", () => set(new Float64Array(PIXELS)));
    byId("middle").addEventListener("click", () => set(centred(), isExample));
    byId("to-map").addEventListener("click", () => {
      space.set(lastMu);
      byId("move").scrollIntoView();
      byId("map").focus({ preventScroll: true });
    });
    set(testImage(startImage(15)), true);
    markExample(startImage(15));
    redraw();
  }

  return { start, set, redraw, pixels: () => Array.from(x) };
})();
