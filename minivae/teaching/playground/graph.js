// One training step as a graph of arrays: what each is made of, the slopes of its links, gradients
// as sums of products along them, and derivatives measured by nudging. No page is known here.

const graph = (() => {
  const all = (rows, columns) => Array.from({ length: rows * columns }, (_, n) => [Math.floor(n / columns), n % columns]);
  const many = (count, make) => Array.from({ length: count }, (_, n) => make(n));
  const at = (name, r, c) => ({ name, r, c });

  // y = x W^T + b: for a member of the sum, its links to y. `y` may be several arrays of one column.
  function linear(x, W, b, y, inputs, outputs, B) {
    const target = (n, o) => (y.length === 1 ? at(y[0], n, o) : at(y[o], n, 0));
    return {
      value: (v, o) => (n) => v[b][0][o] + many(inputs, (i) => v[x][n][i] * v[W][o][i]).reduce((p, q) => p + q, 0),
      [x]: (v, n, i) => many(outputs, (o) => [target(n, o), v[W][o][i], `${W}[${o},${i}]`]),
      [W]: (v, o, i) => many(B, (n) => [target(n, o), v[x][n][i], `${x}[${n},${i}]`]),
      [b]: (v, _, o) => many(B, (n) => [target(n, o), 1, "1"]),
    };
  }

  // The arrays in the order of the way forward. A leaf has no `make`; `links` lead to what it is used
  // in: [target, slope, the slope in words]. W1, b1, ... are the parameters.
  function build(B, D, H) {
    const one = linear("x", "W1", "b1", ["a"], D, H, B);
    const two = linear("h", "W2", "b2", ["mu", "logvar"], H, 2, B);
    const three = linear("z", "W3", "b3", ["c"], 1, H, B);
    const four = linear("g", "W4", "b4", ["logits"], H, D, B);
    const relu = (to, from) => (v, n, i) => [[at(to, n, i), v[from][n][i] > 0 ? 1 : 0, v[from][n][i] > 0 ? "1" : "0, it is not above 0"]];
    const sum = (cells, value) => cells.reduce((total, [n, i]) => total + value(n, i), 0);
    const sigma = (v, n) => Math.exp(v.logvar[n][0] / 2);
    const sigmoid = (l) => 1 / (1 + Math.exp(-l));
    return [
      { name: "x", size: [B, D], says: "the images", links: (v, n, i) => [...one.x(v, n, i), [at("nll", 0, 0), -v.logits[n][i] / B, `−logits[${n},${i}]/${B}`]] },
      { name: "W1", size: [H, D], says: "weight of the encoder's first layer", links: one.W1 },
      { name: "b1", size: [1, H], says: "its bias", links: one.b1 },
      { name: "a", size: [B, H], says: "x W1ᵀ + b1", make: (v, n, o) => one.value(v, o)(n), links: relu("h", "a") },
      { name: "h", size: [B, H], says: "relu(a)", make: (v, n, i) => Math.max(0, v.a[n][i]), links: two.h },
      { name: "W2", size: [2, H], says: "weight of its second layer", links: two.W2 },
      { name: "b2", size: [1, 2], says: "its bias", links: two.b2 },
      { name: "mu", size: [B, 1], says: "first half of h W2ᵀ + b2", make: (v, n) => two.value(v, 0)(n), links: (v, n) => [[at("z", n, 0), 1, "1"], [at("kl", 0, 0), v.mu[n][0] / B, `mu[${n}]/${B}`]] },
      { name: "logvar", size: [B, 1], says: "its second half", make: (v, n) => two.value(v, 1)(n), links: (v, n) => [[at("z", n, 0), (sigma(v, n) * v.eps[n][0]) / 2, `σ eps[${n}]/2`], [at("kl", 0, 0), Math.expm1(v.logvar[n][0]) / 2 / B, `(exp(logvar[${n}]) − 1)/${2 * B}`]] },
      { name: "eps", size: [B, 1], says: "the noise", links: (v, n) => [[at("z", n, 0), sigma(v, n), "σ = exp(logvar/2)"]] },
      { name: "z", size: [B, 1], says: "mu + exp(logvar/2) eps", make: (v, n) => v.mu[n][0] + sigma(v, n) * v.eps[n][0], links: three.z },
      { name: "W3", size: [H, 1], says: "weight of the decoder's first layer", links: three.W3 },
      { name: "b3", size: [1, H], says: "its bias", links: three.b3 },
      { name: "c", size: [B, H], says: "z W3ᵀ + b3", make: (v, n, o) => three.value(v, o)(n), links: relu("g", "c") },
      { name: "g", size: [B, H], says: "relu(c)", make: (v, n, i) => Math.max(0, v.c[n][i]), links: four.g },
      { name: "W4", size: [D, H], says: "weight of its second layer", links: four.W4 },
      { name: "b4", size: [1, D], says: "its bias", links: four.b4 },
      { name: "logits", size: [B, D], says: "g W4ᵀ + b4", make: (v, n, o) => four.value(v, o)(n), links: (v, n, i) => [[at("nll", 0, 0), (sigmoid(v.logits[n][i]) - v.x[n][i]) / B, `(sigmoid(logits[${n},${i}]) − x[${n},${i}])/${B}`]] },
      { name: "nll", size: [1, 1], says: "mean of softplus(logits) − x logits, summed over pixels", make: (v) => sum(all(B, D), (n, i) => formulas.softplus(v.logits[n][i]) - v.x[n][i] * v.logits[n][i]) / B, links: () => [[at("loss", 0, 0), 1, "1"]] },
      { name: "kl", size: [1, 1], says: "mean of (mu² + exp(logvar) − 1 − logvar)/2", make: (v) => sum(all(B, 1), (n) => (v.mu[n][0] ** 2 + Math.expm1(v.logvar[n][0]) - v.logvar[n][0]) / 2) / B, links: (v) => [[at("loss", 0, 0), v.beta[0][0], "beta"]] },
      { name: "beta", size: [1, 1], says: "weight of the KL", links: (v) => [[at("loss", 0, 0), v.kl[0][0], "kl"]] },
      { name: "loss", size: [1, 1], says: "nll + beta kl", make: (v) => v.nll[0][0] + v.beta[0][0] * v.kl[0][0], links: () => [] },
    ];
  }

  // Values of everything, from those of the leaves; `set` overrides entries that are made: {"h 0 1": 2}.
  function forward(arrays, leaves, set = {}) {
    const v = {};
    for (const { name, size: [rows, columns], make } of arrays) {
      v[name] = many(rows, (r) => new Array(columns));
      for (const [r, c] of all(rows, columns)) v[name][r][c] = set[`${name} ${r} ${c}`] ?? (make ? make(v, r, c) : leaves[name][r][c]);
    }
    return v;
  }

  // Gradients of everything: the loss's own is 1, every other a sum along its links.
  function backward(arrays, v) {
    const d = {};
    for (const { name, size: [rows, columns], links } of [...arrays].reverse()) {
      d[name] = many(rows, (r) => many(columns, (c) => (name === "loss" ? 1
        : links(v, r, c).reduce((total, [to, slope]) => total + slope * d[to.name][to.r][to.c], 0))));
    }
    return d;
  }

  // The derivative of the loss by one entry, wherever it stands: a central difference.
  function nudged(arrays, leaves, name, r, c, h = 1e-5) {
    const value = forward(arrays, leaves)[name][r][c];
    const loss = (to) => forward(arrays, leaves, { [`${name} ${r} ${c}`]: to }).loss[0][0];
    return { up: loss(value + h), down: loss(value - h), slope: (loss(value + h) - loss(value - h)) / (2 * h), h };
  }

  return { build, forward, backward, nudged };
})();
