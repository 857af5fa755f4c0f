// Faults to plant, as real as in gradcheck/gallery: each replaces one formula by a broken one.

const FAULTS = {
  half: {
    name: "The half forgotten",
    says: "dlogvar takes dz σ eps; the half of exp(logvar / 2) is missing",
    rules: {
      reparameterizeBackward(dz, noise, dmu, dlogvar) {
        for (let i = 0; i < dz.length; i++) {
          dmu[i] += dz[i];
          dlogvar[i] += dz[i] * noise[i];
        }
      },
    },
  },
  mean: {
    name: "z = mu",
    says: "nothing is drawn: the decoder gets the middle of q",
    rules: {
      reparameterize(mu, logvar, eps, noise, z) {
        noise.fill(0);
        z.set(mu);
        return z;
      },
    },
  },
  twice: {
    name: "Noise drawn twice",
    says: "backward draws an eps of its own, which forward never saw",
    rules: {
      reparameterizeBackward(dz, noise, dmu, dlogvar) {
        const fresh = random.normals(dz.length, Math.random).map((value, i) => value * noise[i]);
        formulas.reparameterizeBackward(dz, fresh, dmu, dlogvar);
      },
    },
  },
  scale: {
    name: "Scale forgotten",
    says: "the reconstruction's value is a mean over the batch, its gradient a sum",
    rules: Object.fromEntries(
      ["bernoulliNll", "gaussianNll"].map((name) => [name, (out, x, scale, dout) =>
        scale * formulas[name](out, x, 1, dout)]),
    ),
  },
  sign: {
    name: "The KL's sign",
    says: "the KL's gradient points uphill",
    rules: {
      gaussianKl(mu, logvar, beta, scale, dmu, dlogvar) {
        const value = formulas.gaussianKl(mu, logvar, beta, scale, dmu, dlogvar);
        for (const d of [dmu, dlogvar]) for (let i = 0; i < d.length; i++) d[i] = -d[i];
        return value;
      },
    },
  },
  variance: {
    name: "σ = exp(logvar)",
    says: "the variance is used as the deviation, in forward and backward alike",
    rules: {
      reparameterize: (mu, logvar, eps, noise, z) =>
        formulas.reparameterize(mu, logvar.map((v) => 2 * v), eps, noise, z),
      reparameterizeBackward(dz, noise, dmu, dlogvar) {
        for (let i = 0; i < dz.length; i++) {
          dmu[i] += dz[i];
          dlogvar[i] += dz[i] * noise[i];
        }
      },
    },
  },
};

// The formulas with that fault in them; without one, as they are.
const rulesWith = (fault) => ({ ...formulas, ...(FAULTS[fault]?.rules ?? {}) });
