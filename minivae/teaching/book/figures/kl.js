// Lesson 5: the valley of the KL, its slopes at a point that you drag, and the way down.

figure("kl", "Drag the point. The arrow is the way down: minus dmu, minus dlogvar.", (box) => {
  const plot = new Plot(box, { x: [-2.5, 2.5], y: [-4, 2], across: "mu", up: "logvar", height: 330, label: "Lines of equal KL, and a point" });
  // One line: mu^2 = 2 KL + 1 + logvar - e^logvar, from where that is 0 to where it is 0 again.
  const contours = [0.05, 0.2, 0.5, 1, 1.5, 2, 3].flatMap((level) => {
    let [low, high] = [-1, 1];
    for (let i = 0; i < 60; i++) [low, high] = [Math.expm1(low) - 2 * level, Math.log(1 + 2 * level + high)];
    const points = range(0, 2 * Math.PI, 121).map((t) => {
      const v = (low + high) / 2 + ((high - low) / 2) * Math.cos(t);
      return [Math.sign(Math.sin(t)) * Math.sqrt(Math.max(0, 2 * level + v - Math.expm1(v))), v];
    });
    return [plot.line(points, "contour"), high < 2 && plot.text(0, high + 0.03, String(level), "small", "middle")];
  });
  const mu = slider(box, "kl-mu", "mu", { min: -2.5, max: 2.5, step: 0.01, value: 1.5, changed: redraw });
  const logvar = slider(box, "kl-logvar", "logvar", { min: -4, max: 2, step: 0.01, value: -2, changed: redraw });
  const buttons = row(box, "buttons");
  const tell = numbers(box, { kl: "KL, by the formula", integral: "by an integral over z", dmu: "dmu", dlogvar: "dlogvar", sigma: "σ = exp(logvar / 2)" });
  const at = (m, v) => {
    const [dmu, dlogvar] = [new Float64Array(1), new Float64Array(1)];
    const value = formulas.gaussianKl([m], [v], 1, 1, dmu, dlogvar);
    return { value, dmu: dmu[0], dlogvar: dlogvar[0] };
  };
  const byIntegral = (m, v) => {
    const sigma = Math.exp(v / 2);
    return range(-10, 10, 2001).reduce((sum, e) => {
      const z = m + sigma * e;
      return sum + (0.01 * Math.exp((-e * e) / 2) * 0.5 * (z * z - e * e - v)) / Math.sqrt(2 * Math.PI);
    }, 0);
  };
  let path = [];

  function redraw() {
    const [m, v] = [mu.value(), logvar.value()], { value, dmu, dlogvar } = at(m, v);
    const arrow = plot.line([[m, v], [m - 0.5 * dmu, v - 0.5 * dlogvar]], "arrow");
    plot.draw(...contours, path.length > 1 && plot.line(path, "two"), plot.dots(path, "two"), arrow, plot.dot(m, v, "one", 7));
    tell({ kl: shown(value, 4), integral: shown(byIntegral(m, v), 4), dmu: shown(dmu, 4), dlogvar: shown(dlogvar, 4), sigma: shown(Math.exp(v / 2), 4) });
  }
  const move = (m, v) => {
    path = [];
    mu.set(m);
    logvar.set(v);
  };
  plot.drags(move);
  button(buttons, "One step down, rate 0.5", () => {
    const [m, v] = path.length ? path[path.length - 1] : [mu.value(), logvar.value()];
    const { dmu, dlogvar } = at(m, v), next = [m - 0.5 * dmu, v - 0.5 * dlogvar];
    const kept = [...(path.length ? path : [[m, v]]), next];
    move(...next);
    path = kept;
    redraw();
  }, "kl-down");
  redraw();
});
