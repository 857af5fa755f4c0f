// Lesson 4: the true posterior, a Gaussian q that you move, and log p(x) cut into bound and gap.

figure("bound", "Drag q across, and change its width: the bar is log p(x). Can you close the gap?", (box) => {
  const { z, joint } = lesson; // log p(x|z) + log p(z) along a line
  const step = z[1] - z[0];
  const logNormal = (at, mu, logvar) => -0.5 * (Math.log(2 * Math.PI) + logvar + (at - mu) ** 2 / Math.exp(logvar));
  const integral = (value) => z.reduce((sum, at, i) => sum + value(at, i), 0) * step;
  const logP = Math.log(integral((_, i) => Math.exp(joint[i])));

  const plot = new Plot(box, { x: [-3, 3], y: [0, 2.4], across: "z", up: "density", height: 250, label: "Posterior, q and prior" });
  legend(box, { two: "posterior p(z|x)", one: "q(z|x)", three: "prior p(z)" });
  const bars = new Plot(box, { x: [-16, 0], y: [0, 1], height: 96, across: "nats", label: "log p(x), the bound, and the gap between them" });
  const mu = slider(box, "bound-mu", "mu", { min: -2.5, max: 2.5, step: 0.01, value: 0.5, changed: redraw });
  const logvar = slider(box, "bound-logvar", "logvar", { min: -6, max: 1.5, step: 0.05, value: -0.4, changed: redraw });
  const tell = numbers(box, { likelihood: "E_q[log p(x|z)]", kl: "KL(q || prior)", bound: "the bound, their difference", gap: "gap, KL(q || posterior)", logp: "log p(x), their sum" });
  const posterior = plot.line(z.map((at, i) => [at, Math.exp(joint[i] - logP)]).filter(([at]) => Math.abs(at) < 3.01), "two");
  const prior = plot.line(range(-3, 3, 121).map((at) => [at, Math.exp(logNormal(at, 0, 0))]), "three");

  function redraw() {
    const [m, v] = [mu.value(), logvar.value()];
    const q = z.map((at) => Math.exp(logNormal(at, m, v)));
    const mean = (value) => integral((at, i) => (q[i] > 0 ? q[i] * value(at, i) : 0));
    const likelihood = mean((at, i) => joint[i] - logNormal(at, 0, 0));
    const kl = mean((at) => logNormal(at, m, v) - logNormal(at, 0, 0));
    const gap = mean((at, i) => logNormal(at, m, v) - joint[i] + logP);
    plot.draw(posterior, prior, plot.line(range(-3, 3, 401).map((at) => [at, Math.exp(logNormal(at, m, v))]), "one"));
    const bound = likelihood - kl, low = Math.max(-16, bound);
    bars.draw(bars.bar(low, logP, 0.8, "gap"), bars.bar(logP, 0, 0.8, "rest"), bars.line([[logP, 0], [logP, 1]], "mark"), bars.line([[low, 0], [low, 1]], "one"),
      bars.text(Math.min(low, -2), 0.9, "bound", "", "end"), logP - low > 2.2 && bars.text((low + logP) / 2, 0.32, "gap", "", "middle"), bars.text(logP / 2, 0.32, "−log p(x)", "", "middle"));
    tell({ likelihood: shown(likelihood, 4), kl: shown(kl, 4), bound: shown(bound, 4), gap: shown(gap, 4), logp: shown(bound + gap, 4) });
  }
  plot.drags((value) => mu.set(value));
  redraw();
});
