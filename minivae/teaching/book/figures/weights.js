// Lesson 10: K draws from a q that you move, their shares v, and how tight the bound is.

figure("weights", "More draws, another q: who has the say, and how near is the bound to log p(x)?", (box) => {
  const { first, step, joint } = lesson, REPEATS = 500;
  const plot = new Plot(box, { x: [-3, 3], y: [0, 1], across: "z", up: "share v of each draw", height: 240, label: "The draws and their shares" });
  const power = slider(box, "weights-k", "draws K", { min: 0, max: 6, step: 1, value: 3, say: (v) => String(2 ** v), changed: redraw });
  const mu = slider(box, "weights-mu", "mu of q", { min: -2, max: 2, step: 0.01, value: lesson.mu, changed: redraw });
  const logvar = slider(box, "weights-logvar", "logvar of q", { min: -5, max: 1.5, step: 0.05, value: lesson.logvar, changed: redraw });
  const buttons = row(box, "buttons");
  const tell = numbers(box, { one: "this estimate of the bound", ess: "draws that count, 1 / sum of v²", bound: `the bound: mean of ${REPEATS} estimates`, logp: "log p(x)" });
  let seed = 0;
  const logP = Math.log(joint.reduce((sum, value) => sum + Math.exp(value), 0) * step);
  // log p(x, z) between two points of the line.
  const at = (z) => {
    const place = Math.min(joint.length - 2, Math.max(0, (z - first) / step)), k = Math.floor(place);
    return joint[k] + (place - k) * (joint[k + 1] - joint[k]);
  };

  function redraw() {
    const [K, m, v] = [2 ** power.value(), mu.value(), logvar.value()], sigma = Math.exp(v / 2);
    const eps = random.normals(K * REPEATS, random.generator(seed, "weights"));
    const estimate = (n) => {
      const draws = range(0, K - 1, K).map((k) => {
        const e = eps[n * K + k], z = m + sigma * e;
        return { z, log: at(z) + (e * e + v + Math.log(2 * Math.PI)) / 2 };
      });
      const top = Math.max(...draws.map(({ log }) => log));
      const total = draws.reduce((sum, { log }) => sum + Math.exp(log - top), 0);
      return { draws: draws.map(({ z, log }) => [z, Math.exp(log - top) / total]), bound: top + Math.log(total / K) };
    };
    const one = estimate(0);
    const mean = range(0, REPEATS - 1, REPEATS).reduce((sum, n) => sum + estimate(n).bound, 0) / REPEATS;
    plot.draw(...one.draws.flatMap(([z, share]) => [plot.line([[z, 0], [z, share]], "one"), plot.dot(z, share, "one", 4)]));
    tell({ one: shown(one.bound, 3), ess: shown(1 / one.draws.reduce((sum, [, share]) => sum + share * share, 0), 2), bound: shown(mean, 3), logp: shown(logP, 4) });
  }
  button(buttons, "Draw the noise anew", () => {
    seed += 1;
    redraw();
  }, "weights-anew");
  redraw();
});
