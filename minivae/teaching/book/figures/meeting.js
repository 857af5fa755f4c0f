// Lesson 8: one latent unit of the page's tiny model, and the two paths that meet at mu and logvar.

figure("meeting", "Two paths meet at mu and at logvar: that of the KL, and that through z. Move the unit.", (box) => {
  const vae = new Vae({ pixels: 4, hidden: [2], latent: 1, seed: lesson.seed });
  const images = lesson.x.map((image) => Float64Array.from(image));
  const { mu: mus, logvar: logvars } = vae.encode(Float64Array.from(lesson.x.flat()));
  const whole = vae.step(Float64Array.from(lesson.x.flat()), Float64Array.from(lesson.eps.flat()));

  const plot = new Plot(box, { x: [-1.6, 1.6], y: [0, 6.8], height: 236, across: "slope of the loss", label: "The parts of dmu and dlogvar as bars" });
  legend(box, { three: "from the KL", two: "through z", one: "their sum" });
  const image = slider(box, "meeting-image", "image", { min: 0, max: images.length - 1, step: 1, value: 0, say: (v) => `[${lesson.x[v].join(", ")}]`, changed: redraw });
  const mu = slider(box, "meeting-mu", "mu", { min: -3, max: 3, step: 0.01, value: mus[0].toFixed(2), changed: redraw });
  const logvar = slider(box, "meeting-logvar", "logvar", { min: -4, max: 2, step: 0.01, value: logvars[0].toFixed(2), changed: redraw });
  const eps = slider(box, "meeting-eps", "eps", { min: -3, max: 3, step: 0.05, value: lesson.eps[0][0], changed: redraw });
  const beta = slider(box, "meeting-beta", "beta", { min: 0, max: 4, step: 0.05, value: 1, changed: redraw });
  const tell = numbers(box, { z: "z = mu + σ eps", loss: "loss = nll + beta kl", dmu: "dmu = beta mu + dz", dlogvar: "dlogvar = beta (e^logvar − 1)/2 + dz σ eps/2", step: "the page's step: both images, encoder's mu and logvar" });

  function redraw() {
    const one = (value) => Float64Array.of(value);
    const [m, v, e, b] = [mu, logvar, eps, beta].map((each) => one(each.value()));
    const [noise, z, dmu, dlogvar, through, throughV] = range(0, 5, 6).map(() => new Float64Array(1));
    formulas.reparameterize(m, v, e, noise, z);
    const out = vae._forward("decoder", z, 1, ""), dout = new Float64Array(4);
    const nll = formulas.bernoulliNll(out, images[image.value()], 1, dout);
    const kl = formulas.gaussianKl(m, v, b[0], 1, dmu, dlogvar);
    const dz = vae._backward("decoder", dout, true);
    formulas.reparameterizeBackward(dz, noise, through, throughV);
    const bars = (top, name, fromKl, fromZ) => [[fromKl, "three"], [fromZ, "two"], [fromKl + fromZ, "one"]].map(([value, kind], i) => {
      const y = top - 0.8 * i, [a, c] = [Math.min(0, value), Math.max(0, value)];
      return plot.line([[a, y], [c, y]], `thick ${kind}`);
    }).concat(plot.text(-1.55, top + 0.55, name, "name"));
    plot.draw(plot.line([[0, 0], [0, 6.8]], "mark"), ...bars(6, "dmu", dmu[0], through[0]), ...bars(2.5, "dlogvar", dlogvar[0], throughV[0]));
    const sum = (p, q) => `${shown(p, 4)} + ${shown(q, 4)} = ${shown(p + q, 4)}`.replace("+ −", "− ");
    tell({
      z: shown(z[0], 4), loss: `${shown(nll + b[0] * kl, 4)} = ${shown(nll, 4)} + ${shown(b[0], 2)} · ${shown(kl, 4)}`,
      dmu: sum(dmu[0], through[0]), dlogvar: sum(dlogvar[0], throughV[0]),
      step: `loss ${shown(whole.loss, 6)} = nll ${shown(whole.nll, 6)} + kl ${shown(whole.kl, 6)}`,
    });
  }
  redraw();
});
