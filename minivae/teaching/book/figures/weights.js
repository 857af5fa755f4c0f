// Lesson 10: K draws from a q that you move, their shares v, and how tight the bound is.

figure("weights", "More draws, another q: who has the say, and how near is the bound to log p(x)?", (box) => {
  const { first, step, joint } = lesson, REPEATS = 500;
  const plot = new Plot(box, { x: [-3, 3], y: [0, 1], across: "z", up: "share v of each draw", height: 240, label: "The draws and their shares" });
  const power = slider(box, "weights-k", "draws K", { min: 0, max: 6, step: 1, value: 3, say: (v) => String(2 ** v), changed: redraw });
  const mu = slider(box, "weights-mu", "mu of q", { min: -2, max: 2, step: 0.01, value: lesson.mu, changed: redraw });
  const logvar = slider(box, "weights-logvar", "logvar of q", { min: -5, max: 1.5, step: 0.05, value: lesson.logvar, changed: redraw });
  const buttons = row(box, "buttons");
  const tell = numbers(box, { one: "this estimate of the bound", ess: "draws that count, 1 / sum of v²", bound: `the bound: mean of ${REPEATS} estimates`, logp: "log p(x)" });
  const MOST = 64; // draws of an estimate; all their noise is drawn at once, and kept under a drag
  let seed = 0, noise;
  const logP = Math.log(joint.reduce((sum, value) => sum + Math.exp(value), 0) * step);
  // log p(x, z) between two points of the line.
  const at = (z) => {
    const place = Math.min(joint.length - 2, Math.max(0, (z - first) / step)), k = Math.floor(place);
    return joint[k] + (place - k) * (joint[k + 1] - joint[k]);
  };

  function draw() {
    noise = random.normals(MOST * REPEATS, random.generator(seed, "weights"));
    redraw();
  }

  function redraw() {
    const [K, m, v] = [2 ** power.value(), mu.value(), logvar.value()], sigma = Math.exp(v / 2);
    const log = new Float64Array(K);
    // The bound by draw n; the logarithms of its weights are left in `log`.
    const estimate = (n) => {
      let top = -Infinity, total = 0;
      for (let k = 0; k < K; k++) {
        const e = noise[n * MOST + k];
        log[k] = at(m + sigma * e) + (e * e + v + Math.log(2 * Math.PI)) / 2;
        top = Math.max(top, log[k]);
      }
      for (let k = 0; k < K; k++) total += Math.exp(log[k] - top);
      return top + Math.log(total / K);
    };
    let mean = 0;
    for (let n = 0; n < REPEATS; n++) mean += estimate(n) / REPEATS;
    const one = estimate(0), draws = Array.from(log, (value, k) => [m + sigma * noise[k], Math.exp(value - one) / K]);
    plot.draw(...draws.flatMap(([z, share]) => [plot.line([[z, 0], [z, share]], "one"), plot.dot(z, share, "one", 4)]));
    tell({ one: shown(one, 3), ess: shown(1 / draws.reduce((sum, [, share]) => sum + share * share, 0), 2), bound: shown(mean, 3), logp: shown(logP, 4) });
  }
  button(buttons, "Draw the noise anew", () => {
    seed += 1;
    draw();
  }, "weights-anew");
  draw();
});
