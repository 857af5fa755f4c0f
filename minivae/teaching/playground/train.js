// The page: settings, the clock that takes steps, what is redrawn when, sabotage and its check.

const facts = JSON.parse(byId("facts").textContent);
const BUDGET = 11; // milliseconds of a frame for drawing and steps: the rest is for the browser
const EVERY = 5; // steps in one point of the loss's curve
const MAPPED = 300; // test images on the map

const play = (() => {
  const digitsText = byId("digits").textContent;
  let digits = null;
  let data, vae, batches, test, terms, history, sums, looked;
  let fault = "none", hidden = false;
  let playing = false, chosen = 16, frames = 0, rate = { since: 0, steps: 0, frames: 0 };

  const setting = (id) => byId(id).value;
  const beta = () => (setting("beta") < -2 ? 0 : 10 ** setting("beta"));
  const lr = () => 10 ** setting("lr");

  // --- begin -----------------------------------------------------------------------------------

  function begin() {
    const kind = setting("data"), seed = Math.max(0, Math.floor(Number(setting("seed")))) || 0;
    const toy = kind !== "digits";
    if (toy) byId("likelihood").value = "gaussian";
    byId("likelihood").disabled = toy;
    if (!toy) digits ??= loadDigits(digitsText, facts.side, facts.labels);
    data = toy ? makePoints(kind, seed) : digits;
    const widths = setting("hidden").split(",").map(Number);
    vae = new Vae({
      pixels: data.pixels, hidden: widths, latent: 2, beta: beta(), seed,
      likelihood: setting("likelihood"), rules: rulesWith(fault),
    });
    batches = new Batches(data.train, data.pixels, 2, Number(setting("batch")), seed);
    const uniform = random.generator(seed, "test");
    const rows = 100;
    test = { x: data.test.slice(0, rows * data.pixels), eps: random.normals(2 * rows, uniform) };
    [history, sums, terms] = [[], null, null];
    byId("tables").replaceChildren();
    byId("verdict").textContent = "";
    byId("weights-card").hidden = toy;
    byId("manifold-says").textContent = toy
      ? "Dots: test points. The net: where the decoder sends a square grid of z from −2.4 to 2.4."
      : "15 × 15 points, equally likely under the prior: quantiles of N(0, 1) across and up.";
    const widthsText = [data.pixels, ...widths, 2].join(" → ");
    byId("about").textContent = `${widthsText}, ${vae.theta.length.toLocaleString("en")} parameters, ${(data.train.length / data.pixels).toLocaleString("en")} ${toy ? "points" : "digits"}`;
    rate = { since: performance.now(), steps: 0, frames: 0 };
    drawAll();
  }

  // --- one step --------------------------------------------------------------------------------

  function step() {
    vae.beta = beta();
    vae.rules = rulesWith(fault);
    const batch = Number(setting("batch"));
    if (batch !== batches.size) batches.size = batch;
    const { x, eps } = batches.next();
    terms = vae.step(x, eps);
    vae.update(lr());
    if (!sums) sums = { loss: 0, nll: 0, kl: 0, count: 0 };
    for (const name of ["loss", "nll", "kl"]) sums[name] += terms[name];
    sums.count += 1;
    if (sums.count === EVERY) {
      history.push({ loss: sums.loss / EVERY, nll: sums.nll / EVERY, kl: sums.kl / EVERY });
      sums = null;
    }
    if (!Number.isFinite(terms.loss)) {
      setPlaying(false);
      byId("verdict").textContent = "The loss is no number any more: start again, with a smaller learning rate or without the fault.";
    }
    rate.steps += 1;
    return terms;
  }

  // --- what is drawn ---------------------------------------------------------------------------

  function drawMap() {
    const x = data.test.subarray(0, MAPPED * data.pixels);
    looked = vae.encode(x);
    views.map(byId("map"), looked, data.kinds, chosen);
    drawUnits();
    drawChosen();
  }

  function drawUnits() {
    const rows = looked.mu.length / 2;
    let active = 0;
    const lines = [0, 1].map((j) => {
      let [sum, squares, sigma, kl] = [0, 0, 0, 0];
      for (let n = 0; n < rows; n++) {
        const m = looked.mu[2 * n + j], v = looked.logvar[2 * n + j];
        sum += m;
        squares += m * m;
        sigma += Math.exp(v / 2);
        kl += (m * m + Math.expm1(v) - v) / 2;
      }
      const variance = squares / rows - (sum / rows) ** 2;
      if (variance > 0.01) active += 1;
      const cells = [variance, sigma / rows, kl / rows].map((value) => element("td", {}, shown(value)));
      return element("tr", {}, element("th", { scope: "row" }, `z[${j}]`), ...cells);
    });
    byId("units").replaceChildren(...lines);
    byId("active").textContent = `${active} of 2 units active (variance of μ above 0.01)${active || !vae.steps ? "" : ": collapsed"}`;
  }

  const NAMES = ["x", "from μ", "drawn", "drawn", "drawn", "drawn"];
  const tiles = NAMES.map((name) => {
    const canvas = element("canvas", { role: "img", "aria-label": name });
    byId("chosen").append(element("div", {}, canvas, name));
    return canvas;
  });

  function drawChosen() {
    const x = data.test.subarray(chosen * data.pixels, (chosen + 1) * data.pixels);
    const mu = looked.mu.slice(2 * chosen, 2 * chosen + 2);
    const sigma = looked.logvar.slice(2 * chosen, 2 * chosen + 2).map((v) => Math.exp(v / 2));
    const eps = random.normals(8, random.generator(chosen, "chosen"));
    const z = new Float64Array(10);
    for (let k = 0; k < 5; k++) for (let j = 0; j < 2; j++) z[2 * k + j] = mu[j] + (k ? sigma[j] * eps[2 * k - 2 + j] : 0);
    const out = vae.decode(z);
    byId("chosen").hidden = !data.side;
    if (data.side) {
      tiles.forEach((canvas, k) => {
        const values = k ? out.subarray((k - 1) * data.pixels, k * data.pixels) : x;
        views.pictures(canvas, values, data.side, 1, views.grey);
      });
    }
    const numbers = (values) => `(${Array.from(values, (v) => shown(v)).join(", ")})`;
    byId("chosen-says").textContent = `${data.side ? `Test image ${chosen + 1}, a ${data.kinds[chosen]}` : `Test point ${numbers(x)}, back ${numbers(out.subarray(0, 2))}`}: μ = ${numbers(mu)}, σ = ${numbers(sigma)}.`;
  }

  function drawLoss() {
    views.curve(byId("curve"), history, EVERY);
    const latest = history.at(-1) ?? terms;
    for (const name of ["loss", "nll", "kl"]) byId(name).textContent = latest ? shown(latest[name]) : "";
  }

  function drawTest() {
    const rules = vae.rules;
    vae.rules = formulas; // the true loss, whatever is planted
    const { nll, kl } = vae.terms(test.x, test.eps);
    vae.rules = rules;
    byId("test-nll").textContent = shown(nll);
    byId("test-kl").textContent = shown(kl);
    byId("test-loss").textContent = shown(nll + beta() * kl);
  }

  function drawClock() {
    const now = performance.now(), passed = (now - rate.since) / 1000;
    const rates = passed > 0.4 && playing ? ` · ${Math.round(rate.steps / passed)} steps a second, ${Math.round(rate.frames / passed)} frames` : "";
    byId("clock").textContent = `step ${vae.steps}, epoch ${(batches.epoch + batches.at / batches.count).toFixed(1)}${rates}`;
    if (passed > 2) rate = { since: now, steps: 0, frames: 0 };
  }

  function drawAll() {
    views.manifold(byId("manifold"), vae, data);
    drawMap();
    drawLoss();
    drawTest();
    if (data.side) views.weights(byId("weights"), vae, data.side);
    drawClock();
    drawSettings();
  }

  function drawSettings() {
    byId("beta-value").textContent = beta() === 0 ? "0" : shortly(beta());
    byId("lr-value").textContent = shortly(lr());
  }

  // A part of the page a frame, in turn: a frame has 16 milliseconds.
  const TURNS = [
    () => views.manifold(byId("manifold"), vae, data), drawLoss, drawMap,
    () => data.side && views.weights(byId("weights"), vae, data.side), drawClock, () => frames % 36 === 5 && drawTest(),
  ];

  function tick() {
    if (!playing) return;
    requestAnimationFrame(tick);
    frames += 1;
    rate.frames += 1;
    let now = performance.now(), took;
    const end = now + BUDGET;
    TURNS[frames % TURNS.length]();
    do {
      const since = performance.now();
      step();
      now = performance.now();
      took = now - since;
    } while (playing && now + took < end); // another one only where it fits
  }

  function setPlaying(on) {
    if (on && !playing) {
      rate = { since: performance.now(), steps: 0, frames: 0 };
      requestAnimationFrame(tick);
    }
    playing = on;
    byId("play").textContent = on ? "Pause" : "Play";
    if (!on && vae) drawAll();
  }

  // --- sabotage --------------------------------------------------------------------------------

  function plant(name, unseen = false) {
    fault = name;
    hidden = unseen;
    for (const input of byId("faults").querySelectorAll("input")) input.checked = !unseen && input.value === name;
    byId("reveal").hidden = !unseen;
    byId("tables").replaceChildren();
    byId("verdict").textContent = unseen ? "One of the six is planted now. Train, look, check; then say which." : "";
  }

  function check() {
    const { x, eps } = new Batches(data.train, data.pixels, 2, 32, 12345).next();
    vae.rules = rulesWith(fault);
    const kinds = [
      ["The whole step, by parameter", checkStep(vae, x, eps)],
      ["Each part by itself", checkParts(vae)],
      ["What differences cannot see", checkContracts(vae, x, eps)],
    ];
    byId("tables").replaceChildren(...kinds.map(([title, rows]) => {
      const lines = rows.map(({ name, right, says }) => element("tr", {},
        element("th", { scope: "row" }, name),
        element("td", { class: right ? "right" : "wrong" }, says)));
      return element("table", {}, element("caption", {}, title), ...lines);
    }));
    const wrong = kinds.flatMap(([, rows]) => rows.filter((row) => !row.right).map((row) => row.name));
    const count = wrong.length;
    byId("verdict").textContent = count ? `${count} of ${kinds.flatMap((kind) => kind[1]).length} are wrong. Begin with the parts: what is wrong there explains the rest.` : "Everything agrees with its finite differences, and z is drawn as it should be.";
    return Object.fromEntries(kinds.flatMap((kind) => kind[1]).map(({ name, right, says }) => [name, right ? true : says]));
  }

  function start() {
    const choices = { none: { name: "No fault", says: "the formulas as they are" }, ...FAULTS };
    byId("faults").replaceChildren(...Object.entries(choices).map(([id, { name, says }]) => {
      const input = element("input", { type: "radio", name: "fault", value: id });
      input.checked = id === "none";
      input.addEventListener("change", () => plant(id));
      return element("label", {}, input, ` ${name}`, element("span", {}, says));
    }));
    byId("hide").addEventListener("click", () => {
      const names = Object.keys(FAULTS);
      plant(names[Math.floor(Math.random() * names.length)], true);
    });
    byId("reveal").addEventListener("click", () => {
      const { name, says } = FAULTS[fault];
      plant(fault);
      byId("verdict").textContent = `It was: ${name}; ${says}.`;
    });
    byId("check").addEventListener("click", check);
    byId("play").addEventListener("click", () => setPlaying(!playing));
    byId("one").addEventListener("click", () => {
      setPlaying(false);
      step();
      drawAll();
    });
    byId("again").addEventListener("click", begin);
    for (const id of ["data", "likelihood", "hidden", "seed"]) byId(id).addEventListener("change", begin);
    for (const id of ["beta", "lr"]) byId(id).addEventListener("input", drawSettings);
    const map = byId("map");
    map.addEventListener("click", (event) => {
      const box = map.getBoundingClientRect();
      chosen = views.nearest(looked, (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
      drawMap();
    });
    map.addEventListener("keydown", (event) => {
      const turn = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!turn) return;
      event.preventDefault();
      chosen = (chosen + turn + MAPPED) % MAPPED;
      drawMap();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
    window.addEventListener("resize", oncePerFrame(drawAll));
    begin();
  }

  return {
    start, begin, step, check, plant, setPlaying,
    model: () => vae, rates: () => ({ ...rate, passed: (performance.now() - rate.since) / 1000 }),
  };
})();

play.start();
window.minivae = play;
