// Lesson 3: the loss of one pixel from its logit, beside the same by way of the probability.

figure("logits", "Move the logit away from what is true. What does each way say, in 32-bit floats?", (box) => {
  const f32 = Math.fround;
  const plot = new Plot(box, { x: [-24, 24], y: [0, 25], across: "logit", up: "loss, nats", label: "The loss of a pixel and its tangent" });
  legend(box, { one: "softplus(l) − x l, and its tangent", two: "−log of the rounded probability" });
  const l = slider(box, "logits-l", "logit l", { min: -24, max: 24, step: 0.1, value: -2, say: (v) => shown(v, 1), changed: redraw });
  const x = slider(box, "logits-x", "pixel x", { min: 0, max: 1, step: 0.05, value: 1, changed: redraw });
  const tell = numbers(box, { p: "probability, as a 32-bit float", naive: "by way of the probability: loss, slope", stable: "from the logit: loss, slope" });

  const stable = (at, pixel) => formulas.softplus(at) - pixel * at;
  const probability = (at) => f32(f32(0.5) * f32(1 + f32(Math.tanh(f32(at / 2)))));
  // 0 log 0 counts as nothing, as it should: what fails, fails at the wrong pixel.
  const naive = (p, pixel) => -((pixel && pixel * f32(Math.log(p))) + (1 - pixel && (1 - pixel) * f32(Math.log(f32(1 - p)))));
  const naiveSlope = (p, pixel) => f32(f32(f32(p - pixel) / f32(p * f32(1 - p))) * f32(p * f32(1 - p)));
  const say = (value) => (Number.isFinite(value) ? shown(value) : Number.isNaN(value) ? "not a number" : "infinite");

  function redraw() {
    const [at, pixel] = [l.value(), x.value()];
    const slope = 1 / (1 + Math.exp(-at)) - pixel, value = stable(at, pixel), p = probability(at);
    const curve = range(-24, 24, 193).map((v) => [v, stable(v, pixel)]);
    const other = range(-24, 24, 193).map((v) => [v, naive(probability(v), pixel)]).filter(([, v]) => Number.isFinite(v));
    const tangent = [-6, 6].map((d) => [at + d, value + d * slope]);
    const by = naive(p, pixel);
    plot.draw(plot.line(other, "two"), plot.line(curve, "one"), plot.line(tangent, "mark"), plot.dot(at, value, "one"), Number.isFinite(by) && plot.dot(at, by, "two", 3));
    tell({ p: String(p), naive: `${say(by)}, ${say(naiveSlope(p, pixel))}`, stable: `${say(value)}, ${say(slope)}` });
  }
  plot.drags((value) => l.set(value));
  redraw();
});
