// The model: weights out of base64, the encoder, the decoder and the loss, by formulas.js.
// It knows nothing of the page; the other scripts ask it for numbers.

const facts = JSON.parse(document.getElementById("facts").textContent);
// A row of numbers is a picture (ROWS, COLUMNS, CHANNELS): 1 for grey; 3 for red, green and blue.
const [ROWS, COLUMNS, CHANNELS = 1] = facts.image_shape;
const PIXELS = ROWS * COLUMNS * CHANNELS;
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
      const layer = { inputs, outputs, weight: readWeight(outputs, inputs), bias: take(Float32Array, outputs) };
      if (facts.labels.length && i === 0) {
        layer.own = layer.bias;
        layer.rows = readWeight(facts.labels.length, outputs);
      }
      return layer;
    });
  }
  return networks;
}

const networks = readNetworks();

// A model that is told labels adds a row of weights for each: here it becomes part of the bias.
function tell(k) {
  for (const [layer] of Object.values(networks)) {
    layer.bias = layer.own.map((b, i) => b + layer.rows[k * layer.outputs + i]);
  }
}
if (facts.labels.length) tell(0);

// y = W x + b, layer after layer, with max(., 0) between them.
function forward(layers, x) {
  layers.forEach(({ outputs, weight, bias }, k) => {
    const y = formulas.linear(x, weight, bias, new Float64Array(outputs));
    x = k < layers.length - 1 ? formulas.relu(y, y) : y;
  });
  return x;
}

function encode(x) {
  const stats = forward(networks.encoder, x);
  return { mu: stats.slice(0, LATENT), logvar: stats.slice(LATENT) };
}

const logits = (z) => forward(networks.decoder, z);
// pixelMean and pixelNll are the likelihood's own: see `Likelihood.page`.
const decode = (z) => {
  const e = logits(z);
  return e.slice(0, PIXELS).map((l, d) => pixelMean(l, d, e));
};
const nllOf = (e, x) => x.reduce((sum, value, d) => sum + pixelNll(e[d], value, d, e), 0);
const klOf = (mu, logvar) =>
  formulas.gaussianKl(mu, logvar, 1, 1, new Float64Array(LATENT), new Float64Array(LATENT));

// The loss terms of one image: nll is the mean over rows of eps, each a draw of z = mu + sigma eps.
function loss(x, eps) {
  const { mu, logvar } = encode(x);
  const draw = (noise) => mu.map((m, i) => m + Math.exp(logvar[i] / 2) * noise[i]);
  const nll = eps.reduce((sum, noise) => sum + nllOf(logits(draw(noise)), x), 0) / eps.length;
  return { mu, logvar, nll, kl: klOf(mu, logvar), nllAtMu: nllOf(logits(mu), x) };
}
