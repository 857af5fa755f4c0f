// Lesson 9: three likelihoods over the grey values, their areas, and -log p of one value.

figure("likelihoods", "Move the decoder's number and the pixel. Which of the three is a density?", (box) => {
  const plot = new Plot(box, { x: [-0.5, 1.5], y: [0, 5], across: "pixel x", up: "p(x)", label: "Three likelihoods over the values of a pixel" });
  legend(box, { one: "Bernoulli's formula", three: "continuous Bernoulli", two: "Gaussian" });
  const eta = slider(box, "likelihoods-eta", "logit l; the Gaussian's mean is sigmoid(l)", { min: -8, max: 8, step: 0.1, value: lesson.eta, say: (v) => shown(v, 1), changed: redraw });
  const logvar = slider(box, "likelihoods-logvar", "the Gaussian's logvar", { min: -7, max: 0, step: 0.1, value: lesson.logvar, say: (v) => shown(v, 1), changed: redraw });
  const pixel = slider(box, "likelihoods-x", "pixel x", { min: 0, max: 1, step: 0.01, value: 0.8, changed: redraw });
  const tell = numbers(box, { one: "Bernoulli's formula: area from 0 to 1, −log p(x)", three: "continuous Bernoulli: area, −log p(x)", two: "Gaussian: area over all numbers, −log p(x)", mean: "mean of the continuous Bernoulli, and sigmoid(l)" });

  function redraw() {
    const l = eta.value(), v = logvar.value(), x = pixel.value(), mean = 1 / (1 + Math.exp(-l));
    const normaliser = Math.abs(l) < 1e-3 ? l / 2 + (l * l) / 24 : Math.log(Math.expm1(l) / l);
    const log = {
      one: (at) => at * l - formulas.softplus(l),
      three: (at) => at * l - normaliser,
      two: (at) => -((at - mean) ** 2 * Math.exp(-v) + v + Math.log(2 * Math.PI)) / 2,
    };
    const area = (f, from, to, n = 4001) => {
      const step = (to - from) / (n - 1), p = range(from, to, n).map((at) => Math.exp(f(at)));
      return step * (p.reduce((sum, value) => sum + value, 0) - (p[0] + p[n - 1]) / 2);
    };
    const line = (kind, from, to) => plot.line(range(from, to, 301).map((at) => [at, Math.exp(log[kind](at))]), kind);
    plot.draw(line("one", 0, 1), line("three", 0, 1), line("two", -0.5, 1.5), plot.line([[x, 0], [x, 5]], "mark"),
      ...["one", "two"].map((kind) => plot.dot(x, Math.exp(log[kind](x)), kind)));
    const say = (kind, from, to) => `${shown(area(log[kind], from, to), 4)}, ${shown(-log[kind](x), 3)}`;
    const average = Math.abs(l) < 1e-3 ? 0.5 + l / 12 : 1 / -Math.expm1(-l) - 1 / l;
    tell({ one: say("one", 0, 1), three: say("three", 0, 1), two: say("two", mean - 8, mean + 8), mean: `${shown(average, 4)}, ${shown(mean, 4)}` });
  }
  plot.drags((at) => pixel.set(Math.min(1, Math.max(0, at))));
  redraw();
});
