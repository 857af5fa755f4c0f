// Is the gradient right? Finite differences of the whole step and of each part by itself, and what
// no difference can see: whether z is drawn as it should be. Each result is one row of a table.

// A derivative by central differences; the array is left as it was.
function measured(value, array, i, h = 1e-5) {
  const kept = array[i];
  array[i] = kept + h;
  const up = value();
  array[i] = kept - h;
  const down = value();
  array[i] = kept;
  return (up - down) / (2 * h);
}

// Compare gradients by hand with measured ones: {name, right, worst, says}.
function judged(name, byHand, numeric) {
  const largest = Math.max(...numeric.map(Math.abs), 1e-12);
  const errors = byHand.map((a, i) => Math.abs(a - numeric[i]) / Math.max(Math.abs(numeric[i]), 0.01 * largest));
  const worst = Math.max(...errors);
  if (worst < 1e-4) return { name, right: true, worst, says: "right" };
  const large = numeric.flatMap((n, i) => (Math.abs(n) > 0.05 * largest ? [byHand[i] / n] : []));
  const factor = large[Math.floor(large.length / 2)];
  const common = large.length > 2 && large.every((ratio) => Math.abs(ratio - factor) <= 0.01 * Math.max(Math.abs(factor), 0.01));
  let says = "wrong, by no common factor";
  if (common && Math.abs(factor) < 0.001) says = "missing: zero by hand";
  else if (common && Math.abs(factor + 1) < 0.01) says = "its sign is turned";
  else if (common && factor > 0) says = `${factor > 1 ? shortly(factor) : shortly(1 / factor)} times too ${factor > 1 ? "large" : "small"}`;
  return { name, right: false, worst, says };
}

const shortly = (value) => String(Number(value.toPrecision(3)));

// Every parameter of the model: the largest entry of its gradient, and some others.
function checkStep(vae, x, eps) {
  vae.step(x, eps);
  const uniform = random.generator(0, "check");
  return Object.entries(vae.params).map(([name, view]) => {
    const gradient = Float64Array.from(vae.grads[name]);
    const largest = gradient.reduce((best, g, i) => (Math.abs(g) > Math.abs(gradient[best]) ? i : best), 0);
    const places = [largest, ...Array.from({ length: 4 }, () => Math.floor(uniform() * view.length))];
    const numeric = places.map((i) => measured(() => vae.value(x, eps), view, i));
    return judged(name, places.map((i) => gradient[i]), numeric);
  });
}

// The parts by themselves, on numbers of their own.
function checkParts(vae) {
  const f = vae.rules, uniform = random.generator(0, "parts");
  const make = () => random.normals(6, uniform);
  const [mu, logvar, eps, dz, out] = [make(), make(), make(), make(), make()];
  const x = Float64Array.from({ length: 6 }, uniform);
  const [noise, z, dmu, dlogvar, dout] = [1, 2, 3, 4, 5].map(() => new Float64Array(6));
  const compare = (name, array, gradient, value) =>
    judged(name, Array.from(gradient), Array.from(array, (_, i) => measured(value, array, i)));
  const scale = 1 / 32, rows = [];

  const drawn = () => f.reparameterize(mu, logvar, eps, noise, z).reduce((sum, value, i) => sum + dz[i] * value, 0);
  drawn();
  f.reparameterizeBackward(dz, noise, dmu, dlogvar);
  const first = [Float64Array.from(dmu), Float64Array.from(dlogvar)];
  rows.push(compare("sampler: dmu", mu, first[0], drawn));
  rows.push(compare("sampler: dlogvar", logvar, first[1], drawn));
  const nll = f[vae.likelihood === "bernoulli" ? "bernoulliNll" : "gaussianNll"];
  nll(out, x, scale, dout);
  const douts = Float64Array.from(dout);
  rows.push(compare("nll: its gradient", out, douts, () => nll(out, x, scale, dout)));
  f.gaussianKl(mu, logvar, 1, scale, dmu, dlogvar);
  const second = [Float64Array.from(dmu), Float64Array.from(dlogvar)];
  const kl = () => f.gaussianKl(mu, logvar, 1, scale, dmu, dlogvar);
  rows.push(compare("kl: dmu", mu, second[0], kl));
  rows.push(compare("kl: dlogvar", logvar, second[1], kl));
  return rows;
}

// What differences cannot see: z must follow eps with the deviation sigma = exp(logvar / 2), and
// two calls with the same noise must give the same gradient.
function checkContracts(vae, x, eps) {
  const f = vae.rules, logvar = Float64Array.of(-1, 0.5, 1), size = logvar.length;
  const noise = new Float64Array(size), z = new Float64Array(size);
  const spread = (f.reparameterize(new Float64Array(size), logvar, new Float64Array(size).fill(1), noise, z), Array.from(z));
  const rows = [judged("z follows eps by σ", spread, Array.from(logvar, (v) => Math.exp(v / 2)))];
  if (!rows[0].right && spread.every((value) => value === 0)) rows[0].says = "z does not depend on eps";
  vae.step(x, eps);
  const once = Float64Array.from(vae.grad);
  vae.step(x, eps);
  const same = once.every((value, i) => value === vae.grad[i]);
  rows.push({ name: "the same noise gives the same gradient", right: same, worst: 0,
    says: same ? "right" : "two calls differ: something is drawn inside" });
  return rows;
}
