// Lesson 7: Adam and gradient descent down the same narrow valley, each with sliders.

figure("paths", "Two ways down a valley with curvatures 1 and 100. Find rates that arrive in fewer steps.", (box) => {
  const { curvature, start } = lesson, MOST = 5000, SHOWN = 150;
  const plot = new Plot(box, { x: [-2, 3.6], y: [-1.3, 1.3], across: "a, curvature 1", up: "b, curvature 100", label: "Paths of Adam and of gradient descent" });
  legend(box, { two: `Adam, ${SHOWN} steps`, one: `gradient descent, ${SHOWN} steps` });
  const power = (id, name, from, to, value) => slider(box, id, name, { min: from, max: to, step: 0.01, value, say: (v) => String(Number((10 ** v).toPrecision(3))), changed: redraw });
  const lr = power("paths-lr", "Adam: lr", -3, 0, -1);
  const beta1 = slider(box, "paths-beta1", "Adam: beta1", { min: 0, max: 0.99, step: 0.01, value: 0.9, changed: redraw });
  const beta2 = slider(box, "paths-beta2", "Adam: beta2", { min: 0, max: 0.999, step: 0.001, value: 0.999, say: (v) => shown(v, 3), changed: redraw });
  const sgd = slider(box, "paths-sgd", "gradient descent: lr", { min: 0.001, max: 0.022, step: 0.0001, value: 0.019, say: (v) => shown(v, 4), changed: redraw });
  const tell = numbers(box, { adam: "Adam: steps until the loss stays below 0.001", sgd: "gradient descent: the same" });
  const contours = [0.1, 1, 4, 12, 30, 60].map((level) => plot.line(range(0, 2 * Math.PI, 121).map((t) =>
    [Math.sqrt((2 * level) / curvature[0]) * Math.cos(t), Math.sqrt((2 * level) / curvature[1]) * Math.sin(t)]), "contour"));

  function walk(update, end = 0) {
    const theta = Float64Array.from(start), g = new Float64Array(2), points = [[...theta]];
    let above = 0;
    for (let step = 1; step <= MOST; step++) {
      for (let i = 0; i < 2; i++) g[i] = curvature[i] * theta[i];
      update(theta, g, step);
      if (step <= SHOWN) points.push([...theta]);
      const value = (curvature[0] * theta[0] ** 2 + curvature[1] * theta[1] ** 2) / 2;
      if (!(value < 1e-3)) above = step;
      if (!(value < 1e6) || value < end) break;
    }
    return { points, steps: above >= MOST || Math.abs(theta[1]) > 10 ? "it does not arrive" : String(above + 1) };
  }

  function redraw() {
    const [m, v] = [new Float64Array(2), new Float64Array(2)], rates = [10 ** lr.value(), sgd.value()];
    const betas = [beta1.value(), beta2.value()];
    const adam = walk((theta, g, step) => formulas.adam(theta, g, m, v, ...betas, ...formulas.adamConstants(step, rates[0], ...betas, 1e-8)));
    const plain = walk((theta, g) => {
      for (let i = 0; i < 2; i++) theta[i] -= rates[1] * g[i];
    }, 1e-9); // it only comes nearer; Adam may leave again
    const path = (points, kind) => [plot.line(points, kind), plot.dots(points.slice(0, 60), kind)];
    plot.draw(...contours, ...path(plain.points, "one"), ...path(adam.points, "two"), plot.dot(0, 0, "goal", 4));
    tell({ adam: adam.steps, sgd: plain.steps });
  }
  redraw();
});
