// The model of vae.py in JavaScript: the same wiring, the same initial weights for the same seed,
// one step with its gradients, and Adam. The arithmetic is in formulas.js; pages draw.

const SIDES = ["encoder", "decoder"];

class Vae {
  // hidden: the encoder's widths, mirrored by the decoder. rules: formulas, or some of them broken.
  constructor({ pixels, hidden, latent, beta = 1, seed = 0, likelihood = "bernoulli", rules = formulas }) {
    Object.assign(this, { pixels, hidden, latent, beta, seed, likelihood, rules });
    const widths = {
      encoder: [pixels, ...hidden, 2 * latent],
      decoder: [latent, ...[...hidden].reverse(), pixels],
    };
    this.slices = {};
    let size = 0;
    for (const side of SIDES) {
      for (let k = 0; k + 1 < widths[side].length; k++) {
        const [inputs, outputs] = [widths[side][k], widths[side][k + 1]];
        for (const [part, count] of [["weight", inputs * outputs], ["bias", outputs]]) {
          this.slices[`${side}.${2 * k}.${part}`] = [size, size + count];
          size += count;
        }
      }
    }
    [this.theta, this.grad, this.m, this.v] = [1, 2, 3, 4].map(() => new Float64Array(size));
    this.steps = 0;
    const views = (flat) =>
      Object.fromEntries(Object.entries(this.slices).map(([name, [a, b]]) => [name, flat.subarray(a, b)]));
    this.params = views(this.theta);
    this.grads = views(this.grad);
    this.layers = Object.fromEntries(SIDES.map((side) => [side, this._network(side, widths[side])]));
    this.buffers = new Map();
  }

  _network(side, widths) {
    return widths.slice(1).map((outputs, k) => {
      const name = `${side}.${2 * k}`, inputs = widths[k];
      const layer = {
        name, inputs, outputs,
        weight: this.params[`${name}.weight`], bias: this.params[`${name}.bias`],
        dweight: this.grads[`${name}.weight`], dbias: this.grads[`${name}.bias`],
      };
      const bound = inputs ** -0.5;
      const uniform = random.generator(this.seed, `initial ${name}.`);
      for (const view of [layer.weight, layer.bias]) {
        for (let i = 0; i < view.length; i++) view[i] = -bound + 2 * bound * uniform();
      }
      return layer;
    });
  }

  // An array kept from step to step, by name and length.
  _buffer(name, length) {
    const key = `${name} ${length}`;
    if (!this.buffers.has(key)) this.buffers.set(key, new Float64Array(length));
    return this.buffers.get(key);
  }

  _forward(side, x, rows, kept) {
    const f = this.rules, layers = this.layers[side];
    layers.forEach((layer, k) => {
      const y = this._buffer(`${kept}${layer.name} y`, rows * layer.outputs);
      if (kept === "") layer.x = x;
      f.linear(x, layer.weight, layer.bias, y);
      x = k < layers.length - 1 ? f.relu(y, y) : y;
    });
    return x;
  }

  // Overwrite the gradients of one side; return that of its input, if it is asked for.
  _backward(side, dy, toInput) {
    const f = this.rules, layers = this.layers[side];
    for (let k = layers.length - 1; k >= 0; k--) {
      const layer = layers[k];
      f.linearBackwardWeight(layer.x, dy, layer.dweight, layer.outputs);
      f.linearBackwardBias(dy, layer.dbias);
      if (k === 0 && !toInput) return null;
      const dx = this._buffer(`${layer.name} dx`, layer.x.length);
      f.linearBackwardInput(dy, layer.weight, dx, layer.outputs);
      dy = k > 0 ? f.reluBackward(layer.x, dx, dx) : dx;
    }
    return dy;
  }

  encode(x, kept = "look ") {
    const rows = x.length / this.pixels, Z = this.latent;
    const stats = this._forward("encoder", x, rows, kept);
    const mu = this._buffer(`${kept}mu`, rows * Z), logvar = this._buffer(`${kept}logvar`, rows * Z);
    for (let b = 0; b < rows; b++) {
      for (let j = 0; j < Z; j++) {
        mu[b * Z + j] = stats[2 * b * Z + j];
        logvar[b * Z + j] = stats[(2 * b + 1) * Z + j];
      }
    }
    return { mu, logvar };
  }

  // What the decoder says of z: probabilities of the pixels, or the means of a Gaussian.
  decode(z) {
    const out = this._forward("decoder", z, z.length / this.latent, "look ").slice();
    return this.likelihood === "bernoulli" ? formulas.sigmoid(out, out) : out;
  }

  _nll(out, x, scale, dout) {
    const f = this.rules;
    return (this.likelihood === "bernoulli" ? f.bernoulliNll : f.gaussianNll)(out, x, scale, dout);
  }

  // The loss of a batch with this noise, in nats per image; its gradient is left in `grads`.
  step(x, eps) {
    const f = this.rules, Z = this.latent, rows = x.length / this.pixels, scale = 1 / rows;
    const { mu, logvar } = this.encode(x, "");
    const at = ["noise", "z", "dmu", "dlogvar"].map((name) => this._buffer(name, rows * Z));
    const [noise, z, dmu, dlogvar] = at;
    f.reparameterize(mu, logvar, eps, noise, z);
    const out = this._forward("decoder", z, rows, "");

    const dout = this._buffer("dout", out.length);
    const nll = this._nll(out, x, scale, dout);
    const kl = f.gaussianKl(mu, logvar, this.beta, scale, dmu, dlogvar);

    const dz = this._backward("decoder", dout, true);
    f.reparameterizeBackward(dz, noise, dmu, dlogvar); // adds the path through z
    const dstats = this._buffer("dstats", 2 * rows * Z);
    for (let b = 0; b < rows; b++) {
      for (let j = 0; j < Z; j++) {
        dstats[2 * b * Z + j] = dmu[b * Z + j];
        dstats[(2 * b + 1) * Z + j] = dlogvar[b * Z + j];
      }
    }
    this._backward("encoder", dstats, false);
    return { loss: nll + this.beta * kl, nll, kl };
  }

  // The terms alone, without a gradient; the step's buffers are left as they are.
  terms(x, eps) {
    const f = this.rules, rows = x.length / this.pixels;
    const { mu, logvar } = this.encode(x, "value ");
    const [noise, z, a, b] = ["noise", "z", "a", "b"].map((name) => this._buffer(`value ${name}`, eps.length));
    f.reparameterize(mu, logvar, eps, noise, z);
    const out = this._forward("decoder", z, rows, "value ");
    const nll = this._nll(out, x, 1 / rows, this._buffer("value dout", out.length));
    return { nll, kl: f.gaussianKl(mu, logvar, this.beta, 1 / rows, a, b) };
  }

  // The loss alone, for finite differences.
  value(x, eps) {
    const { nll, kl } = this.terms(x, eps);
    return nll + this.beta * kl;
  }

  // One update by Adam, from the gradients that the last step left.
  update(lr, beta1 = 0.9, beta2 = 0.999, eps = 1e-8) {
    this.steps += 1;
    const constants = this.rules.adamConstants(this.steps, lr, beta1, beta2, eps);
    this.rules.adam(this.theta, this.grad, this.m, this.v, beta1, beta2, ...constants);
  }
}

// The batches of a training: the order and the noise of every epoch are functions of the seed.
class Batches {
  constructor(data, pixels, latent, size, seed) {
    Object.assign(this, { data, pixels, latent, seed, count: data.length / pixels });
    this.size = Math.min(size, this.count);
    this.epoch = -1;
    this.at = this.count;
  }

  next() {
    if (this.at >= this.count) {
      this.epoch += 1;
      this.at = 0;
      this.order = random.permutation(this.count, random.generator(this.seed, "order", this.epoch));
      this.uniform = random.generator(this.seed, "eps", this.epoch);
    }
    const rows = this.order.subarray(this.at, Math.min(this.at + this.size, this.count));
    this.at += rows.length;
    const x = new Float64Array(rows.length * this.pixels);
    rows.forEach((row, b) => x.set(this.data.subarray(row * this.pixels, (row + 1) * this.pixels), b * this.pixels));
    return { x, eps: random.normals(rows.length * this.latent, this.uniform) };
  }
}
