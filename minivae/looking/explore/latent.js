// The first part: one point z of the latent space, its place on the map, its sliders, its picture.
// `space.set(z)` is the one way to move it.

const space = (() => {
  const map = byId("map");
  const centre = Float64Array.from(facts.centre);
  const directions = facts.directions.map((d) => Float64Array.from(d));
  const dot = (u, v) => u.reduce((sum, value, i) => sum + value * v[i], 0);
  const onPlane = (z) => {
    const from = Array.from(z, (value, i) => value - centre[i]);
    return directions.map((direction) => dot(direction, from));
  };

  const dots = Array.from({ length: mus.length / LATENT }, (_, n) => {
    const mu = mus.subarray(n * LATENT, (n + 1) * LATENT);
    const [a, b] = onPlane(mu);
    return { mu, a, b: facts.flat ? (((n * 0.618034) % 1) - 0.5) * facts.reach : b, label: facts.dot_labels[n] };
  });

  let z = encode(testImage(startImage(2))).mu;
  let only = null; // the one label whose dots stand out
  const sliders = [];

  // --- the map: dots on a canvas of their own, copied under the ring -----------------------------
  const ground = document.createElement("canvas");
  let half = 0; // half the map's side in device pixels
  const toScreen = (a, b) => [half + (a / facts.reach) * half, half - (b / facts.reach) * half];

  function drawGround() {
    const side = Math.max(120, Math.round(map.clientWidth * (window.devicePixelRatio || 1)));
    half = side / 2;
    map.width = map.height = ground.width = ground.height = side;
    const pen = ground.getContext("2d");
    pen.clearRect(0, 0, side, side);
    pen.strokeStyle = cssColour("--line");
    pen.lineWidth = Math.max(1, side / 600);
    pen.beginPath();
    pen.moveTo(half, 0);
    pen.lineTo(half, side);
    pen.moveTo(0, half);
    pen.lineTo(side, half);
    pen.stroke();
    const radius = Math.max(2.2, side / 190);
    for (const layer of [false, true]) {
      for (const { a, b, label } of dots) {
        const lit = only === null || label === only;
        if (lit !== layer) continue;
        pen.globalAlpha = lit ? 0.8 : 0.12;
        pen.fillStyle = colourOf(label);
        pen.beginPath();
        pen.arc(...toScreen(a, b), radius, 0, 2 * Math.PI);
        pen.fill();
      }
    }
    pen.globalAlpha = 1;
    drawRing();
  }

  function drawRing() {
    const pen = map.getContext("2d");
    pen.clearRect(0, 0, map.width, map.height);
    pen.drawImage(ground, 0, 0);
    const [x, y] = toScreen(...onPlane(z)).map((v) => Math.min(2 * half - 6, Math.max(6, v)));
    const radius = Math.max(9, half / 22);
    for (const [colour, width] of [[cssColour("--card"), radius / 1.8], [cssColour("--ring"), radius / 4]]) {
      pen.strokeStyle = colour;
      pen.lineWidth = width;
      pen.beginPath();
      pen.arc(x, y, radius, 0, 2 * Math.PI);
      pen.stroke();
    }
  }

  // --- one redraw of everything that depends on z ------------------------------------------------
  function redraw() {
    paint(byId("image"), decode(z));
    drawRing();
    for (const { unit, input, output } of sliders) {
      input.value = z[unit];
      output.textContent = shown(z[unit]);
    }
    const [a, b] = onPlane(z);
    const far = Math.sqrt(dot(z, z) / LATENT);
    const place = facts.flat ? `${shown(a)} from the middle` : `${shown(a)} across, ${shown(b)} up`;
    byId("where").textContent = `${place}. z is ${shown(far)} times as long as a typical draw from the prior.`;
  }
  const redrawSoon = oncePerFrame(redraw);
  const set = (next) => {
    z = Float64Array.from(next);
    redrawSoon();
  };

  // Move within the plane of the map; what z has outside that plane stays.
  function moveTo(a, b) {
    const now = onPlane(z);
    const by = [a - now[0], facts.flat ? 0 : b - now[1]];
    z = z.map((value, i) => value + by[0] * directions[0][i] + by[1] * directions[1][i]);
  }

  // --- hands and keys ----------------------------------------------------------------------------
  function follow(event) {
    const box = map.getBoundingClientRect();
    const clamp = (v) => Math.min(1, Math.max(-1, v));
    const a = clamp((2 * (event.clientX - box.left)) / box.width - 1) * facts.reach;
    const b = clamp(1 - (2 * (event.clientY - box.top)) / box.height) * facts.reach;
    moveTo(a, b);
    redrawSoon();
  }
  map.addEventListener("pointerdown", (event) => {
    if (event.isTrusted) map.setPointerCapture(event.pointerId);
    map.dataset.held = "yes";
    follow(event);
  });
  map.addEventListener("pointermove", (event) => map.dataset.held && follow(event));
  for (const end of ["pointerup", "pointercancel"]) {
    map.addEventListener(end, () => delete map.dataset.held);
  }
  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  map.addEventListener("keydown", (event) => {
    if (event.key === "Home") set(centre);
    else if (ARROWS[event.key]) {
      const step = (event.shiftKey ? 0.1 : 0.02) * facts.reach;
      const [a, b] = onPlane(z);
      moveTo(a + ARROWS[event.key][0] * step, b + ARROWS[event.key][1] * step);
      redrawSoon();
    } else return;
    event.preventDefault();
  });

  function addSlider(unit, place) {
    const id = `z${unit}`;
    const input = element("input", { type: "range", id, min: -4, max: 4, step: 0.01, "aria-label": `latent dimension ${unit}, variance of mu ${facts.variance[unit].toFixed(2)}` });
    const output = element("output", { for: id });
    const bar = element("i");
    bar.style.width = `${Math.min(100, 100 * facts.variance[unit])}%`;
    const name = element("label", { class: "name", for: id, title: `variance of mu ${facts.variance[unit].toFixed(3)}` }, `z[${unit}]`, element("span", { class: "use" }, bar));
    input.addEventListener("input", () => {
      z[unit] = Number(input.value);
      redrawSoon();
    });
    place.append(element("div", { class: "slider" }, name, input, output));
    sliders.push({ unit, input, output });
  }

  function start() {
    const unused = facts.order.filter((unit) => facts.variance[unit] < 0.01);
    facts.order.filter((unit) => !unused.includes(unit)).forEach((unit) => addSlider(unit, byId("sliders")));
    if (unused.length) {
      const fold = byId("unused");
      fold.hidden = false;
      fold.open = unused.length === LATENT;
      fold.querySelector("summary").textContent = `${unused.length} unused (variance below 0.01)`;
      unused.forEach((unit) => addSlider(unit, fold.querySelector("div")));
    }
    const labels = [...new Set(facts.dot_labels)].filter((label) => label >= 0).sort((p, q) => p - q);
    for (const label of labels.slice(0, 20)) {
      const mark = element("i");
      mark.style.background = colourOf(label);
      const button = element("button", { type: "button", "aria-pressed": "false", "aria-label": `only label ${label}` }, mark, String(label));
      button.addEventListener("click", () => {
        only = only === label ? null : label;
        for (const other of byId("legend").children) other.setAttribute("aria-pressed", String(other === button && only === label));
        drawGround();
      });
      byId("legend").append(button);
    }
    byId("centre").addEventListener("click", () => set(centre));
    byId("random").addEventListener("click", () => set(random.normals(LATENT, Math.random)));
    byId("nearest").addEventListener("click", () => {
      const [a, b] = onPlane(z);
      const distance = (d) => Math.hypot(d.a - a, facts.flat ? 0 : d.b - b);
      set(dots.reduce((best, d) => (distance(d) < distance(best) ? d : best)).mu);
    });
    new ResizeObserver(drawGround).observe(map);
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawGround);
    drawGround();
    redraw();
  }

  return { start, set, moveTo, redraw, point: () => Array.from(z) };
})();
