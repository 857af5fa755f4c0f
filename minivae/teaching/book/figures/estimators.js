// Lesson 6: two thousand draws of one gradient, through z and by the score function.

figure("estimators", "Two thousand estimates of dmu, each from one draw. Add dimensions, draw anew.", (box) => {
  const { c, mu, logvar } = lesson, sigma = Math.exp(logvar / 2), right = 2 * (mu - c), DRAWS = 2000;
  const plot = new Plot(box, { x: [-40, 40], y: [0, 1], across: "estimate of dmu from one draw", up: "share, of the highest", label: "Histograms of both estimators" });
  legend(box, { one: "through z", two: "score function", mark: "the right value" });
  const width = slider(box, "estimators-z", "dimensions Z", { min: 0, max: 2, step: 0.1, value: 0, say: (v) => String(Math.round(10 ** v)), changed: redraw });
  const buttons = row(box, "buttons");
  const tell = numbers(box, { one: "through z: mean, variance", two: "score function: mean, variance", ratio: "draws that the score function needs for one of the other", right: "the right value, 2 (mu − c)" });
  const MOST = 100; // dimensions; all their noise is drawn at once, and kept while Z is dragged
  let seed = 0, noise;

  function draw() {
    noise = random.normals(DRAWS * MOST, random.generator(seed, "estimators"));
    redraw();
  }

  function redraw() {
    const Z = Math.round(10 ** width.value());
    const one = new Float64Array(DRAWS), two = new Float64Array(DRAWS);
    for (let n = 0; n < DRAWS; n++) {
      const eps = noise[n * MOST];
      let value = 0;
      for (let k = 0; k < Z; k++) value += (mu + sigma * noise[n * MOST + k] - c) ** 2;
      one[n] = 2 * (mu + sigma * eps - c);
      two[n] = (value * eps) / sigma;
    }
    const bins = 81, edge = 40, wide = (2 * edge) / bins;
    const histogram = (values) => {
      const counts = new Array(bins).fill(0);
      for (const value of values) {
        const k = Math.floor((value + edge) / wide);
        if (k >= 0 && k < bins) counts[k] += 1;
      }
      return counts.map((count) => count / Math.max(...counts, 1));
    };
    const drawn = [[two, "two"], [one, "one"]].flatMap(([values, kind]) =>
      histogram(values).map((share, k) => share > 0 && plot.bar(-edge + k * wide, -edge + (k + 1) * wide, share, kind)));
    plot.draw(...drawn, plot.line([[right, 0], [right, 1]], "mark"));
    const moments = (values) => {
      const mean = values.reduce((sum, v) => sum + v, 0) / DRAWS;
      return [mean, values.reduce((sum, v) => sum + (v - mean) ** 2, 0) / DRAWS];
    };
    const [a, b] = [moments(one), moments(two)];
    const say = ([mean, variance]) => `${shown(mean)} ± ${shown(Math.sqrt(variance / DRAWS))}, ${Number(variance.toPrecision(4))}`;
    tell({ one: say(a), two: say(b), ratio: Number((b[1] / a[1]).toPrecision(3)), right: shown(right) });
  }
  button(buttons, "Draw the noise anew", () => {
    seed += 1;
    draw();
  }, "estimators-anew");
  draw();
});
