// The model: weights out of base64, the encoder, the decoder and the loss, in plain arithmetic.
// It knows nothing of the page; the other scripts ask it for numbers.

const facts = JSON.parse(document.getElementById("facts").textContent);
const [ROWS, COLUMNS] = facts.image_shape;
const PIXELS = ROWS * COLUMNS;
const LATENT = facts.latent;

function bytes(id) {
  const text = atob(document.getElementById(id).textContent.trim());
  const out = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) out[i] = text.charCodeAt(i);
  return out.buffer;
}

// Read the layers: {inputs, outputs, weight, bias}. Stored as 32-bit floats, or as whole numbers
// of 20 bits (the upper 16 first, then the lower 4 of all, two in a byte) with one scale a row.
function readNetworks() {
  const buffer = bytes("weights");
  let at = 0;
  const take = (Kind, count) => {
    const part = new Kind(buffer.slice(at, at + count * Kind.BYTES_PER_ELEMENT));
    at += count * Kind.BYTES_PER_ELEMENT;
    return part;
  };
  const readWeight = (outputs, inputs) => {
    if (facts.storage === "float32") return take(Float32Array, outputs * inputs);
    const scales = take(Float32Array, outputs);
    const upper = take(Int16Array, outputs * inputs);
    const lower = take(Uint8Array, (outputs * inputs + 1) >> 1);
    const weight = new Float32Array(outputs * inputs);
    for (let i = 0; i < weight.length; i++) {
      const whole = upper[i] * 16 + ((lower[i >> 1] >> (4 * (i & 1))) & 15);
      weight[i] = whole * scales[(i / inputs) | 0];
    }
    return weight;
  };
  const networks = {};
  for (const name of ["encoder", "decoder"]) {
    networks[name] = facts[name].slice(1).map((outputs, i) => {
      const inputs = facts[name][i];
      return { inputs, outputs, weight: readWeight(outputs, inputs), bias: take(Float32Array, outputs) };
    });
  }
  return networks;
}

const networks = readNetworks();

// y = W x + b, layer after layer, with max(., 0) between them.
function forward(layers, x) {
  layers.forEach((layer, k) => {
    const y = new Float64Array(layer.outputs);
    const { inputs, weight, bias } = layer;
    for (let o = 0, w = 0; o < layer.outputs; o++) {
      let sum = bias[o];
      for (let i = 0; i < inputs; i++, w++) sum += weight[w] * x[i];
      y[o] = k < layers.length - 1 && sum < 0 ? 0 : sum;
    }
    x = y;
  });
  return x;
}

function encode(x) {
  const stats = forward(networks.encoder, x);
  return { mu: stats.slice(0, LATENT), logvar: stats.slice(LATENT) };
}

const logits = (z) => forward(networks.decoder, z);
const decode = (z) => logits(z).map((l) => 1 / (1 + Math.exp(-l)));

// softplus(l) - x l, summed over the pixels: -log p(x|z) in nats.
function nllOf(ls, x) {
  let sum = 0;
  for (let i = 0; i < ls.length; i++) {
    sum += Math.max(ls[i], 0) + Math.log1p(Math.exp(-Math.abs(ls[i]))) - x[i] * ls[i];
  }
  return sum;
}

function klOf(mu, logvar) {
  let sum = 0;
  for (let i = 0; i < LATENT; i++) {
    sum += (mu[i] * mu[i] + Math.expm1(logvar[i]) - logvar[i]) / 2;
  }
  return sum;
}

// The loss terms of one image: nll is the mean over rows of eps, each a draw of z = mu + sigma eps.
function loss(x, eps) {
  const { mu, logvar } = encode(x);
  const draw = (noise) => mu.map((m, i) => m + Math.exp(logvar[i] / 2) * noise[i]);
  const nll = eps.reduce((sum, noise) => sum + nllOf(logits(draw(noise)), x), 0) / eps.length;
  return { mu, logvar, nll, kl: klOf(mu, logvar), nllAtMu: nllOf(logits(mu), x) };
}

// Two independent standard normal numbers of two uniform ones (Box and Muller 1958), many times.
function normals(count, uniform) {
  const out = [];
  while (out.length < count) {
    const r = Math.sqrt(-2 * Math.log(1 - uniform()));
    const angle = 2 * Math.PI * uniform();
    out.push(r * Math.cos(angle), r * Math.sin(angle));
  }
  return out.slice(0, count);
}

// Always the same uniform numbers, so that a picture's loss does not flicker (mulberry32).
function steadyUniform(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
