// Lesson 1: the error of finite differences, with the step h under your hand.

figure("valley", "Drag h. Where is the central difference at its best, and what spoils it on either side?", (box) => {
  const { x, weight, bias, target } = lesson;
  const loss = (w) => {
    const y = 1 / (1 + Math.exp(-(x * w + bias)));
    return (y - target) ** 2 / 2;
  };
  const y = 1 / (1 + Math.exp(-(x * weight + bias)));
  const right = (y - target) * y * (1 - y) * x;
  const forward = (h) => (loss(weight + h) - loss(weight)) / h;
  const central = (h) => (loss(weight + h) - loss(weight - h)) / (2 * h);
  const error = (rule, h) => Math.max(1e-17, Math.abs(rule(h) - right));

  const plot = new Plot(box, { x: [1e-15, 1], y: [1e-14, 1], log: "xy", across: "step h", up: "error of dweight", label: "Errors of both differences against the step" });
  legend(box, { one: "forward difference", two: "central difference" });
  const steps = range(0, -15, 181).map((power) => 10 ** power);
  const curves = [forward, central].map((rule, i) => plot.line(steps.map((h) => [h, error(rule, h)]), i ? "two" : "one"));
  const h = slider(box, "valley-h", "h", { min: -15, max: 0, step: 0.05, value: -3, say: (v) => (10 ** v).toExponential(1), changed: redraw });
  const tell = numbers(box, { forward: "forward difference, and its error", central: "central difference, and its error", cause: "most of the central error" });

  function redraw() {
    const step = 10 ** h.value();
    plot.draw(...curves, plot.line([[step, 1e-14], [step, 1]], "mark"), plot.dot(step, error(forward, step), "one"), plot.dot(step, error(central, step), "two"));
    const say = (rule) => `${shown(rule(step), 12)}, off by ${tiny(error(rule, step))}`;
    tell({ forward: say(forward), central: say(central), cause: step > 1e-5 ? "the curve: it grows with h squared" : "rounding: it grows as h shrinks" });
  }
  plot.drags((value) => h.set(Math.log10(value)));
  redraw();
});
