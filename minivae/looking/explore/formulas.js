// The formulas of formulas.py, each backward under its forward, on flat arrays of 64-bit floats.
// Names, arguments and order are Python's; (B, n) lies row after row. They know nothing of a page.

const formulas = (() => {
  // --- Linear: y = x W^T + b, with W of shape (out, in) ----------------------------------------

  function linear(x, weight, bias, y) {
    const outputs = bias.length, inputs = weight.length / outputs, rows = y.length / outputs;
    for (let b = 0; b < rows; b++) {
      const from = b * inputs, to = b * outputs;
      for (let o = 0, w = 0; o < outputs; o++) {
        let sum = bias[o];
        for (let i = 0; i < inputs; i++, w++) sum += x[from + i] * weight[w];
        y[to + o] = sum;
      }
    }
    return y;
  }

  // dx_bi = sum_o dy_bo W_oi
  function linearBackwardInput(dy, weight, dx, outputs) {
    const rows = dy.length / outputs, inputs = weight.length / outputs;
    dx.fill(0);
    for (let b = 0; b < rows; b++) {
      for (let o = 0, w = 0; o < outputs; o++) {
        const d = dy[b * outputs + o];
        if (d === 0) w += inputs;
        else for (let i = 0, at = b * inputs; i < inputs; i++, w++, at++) dx[at] += d * weight[w];
      }
    }
    return dx;
  }

  // dW_oi = sum_b dy_bo x_bi
  function linearBackwardWeight(x, dy, dweight, outputs) {
    const rows = dy.length / outputs, inputs = dweight.length / outputs;
    dweight.fill(0);
    for (let b = 0; b < rows; b++) {
      for (let o = 0, w = 0; o < outputs; o++) {
        const d = dy[b * outputs + o];
        if (d === 0) w += inputs;
        else for (let i = 0, at = b * inputs; i < inputs; i++, w++, at++) dweight[w] += d * x[at];
      }
    }
    return dweight;
  }

  // db_o = sum_b dy_bo
  function linearBackwardBias(dy, dbias) {
    const outputs = dbias.length;
    dbias.fill(0);
    for (let at = 0; at < dy.length; at++) dbias[at % outputs] += dy[at];
    return dbias;
  }

  // --- Activations: each backward needs only the forward's output -------------------------------

  function relu(x, y) {
    for (let i = 0; i < y.length; i++) y[i] = x[i] > 0 ? x[i] : 0;
    return y;
  }

  function reluBackward(y, dy, dx) {
    for (let i = 0; i < dx.length; i++) dx[i] = y[i] > 0 ? dy[i] : 0;
    return dx;
  }

  function sigmoid(x, y) {
    for (let i = 0; i < y.length; i++) y[i] = 1 / (1 + Math.exp(-x[i]));
    return y;
  }

  function sigmoidBackward(y, dy, dx) {
    for (let i = 0; i < dx.length; i++) dx[i] = dy[i] * y[i] * (1 - y[i]);
    return dx;
  }

  function tanh(x, y) {
    for (let i = 0; i < y.length; i++) y[i] = Math.tanh(x[i]);
    return y;
  }

  function tanhBackward(y, dy, dx) {
    for (let i = 0; i < dx.length; i++) dx[i] = dy[i] * (1 - y[i] * y[i]);
    return dx;
  }

  // --- Reparameterization: z = mu + sigma eps, sigma = exp(logvar / 2) --------------------------

  function reparameterize(mu, logvar, eps, noise, z) {
    for (let i = 0; i < z.length; i++) {
      noise[i] = Math.exp(logvar[i] / 2) * eps[i];
      z[i] = mu[i] + noise[i];
    }
    return z;
  }

  // dz/dmu = 1 and dz/dlogvar = noise / 2; both are added to what the KL left there.
  function reparameterizeBackward(dz, noise, dmu, dlogvar) {
    for (let i = 0; i < dz.length; i++) {
      dmu[i] += dz[i];
      dlogvar[i] += (dz[i] * noise[i]) / 2;
    }
  }

  // --- The terms of the loss, each with its gradient --------------------------------------------

  const softplus = (l) => Math.max(l, 0) + Math.log1p(Math.exp(-Math.abs(l)));

  // scale * sum of softplus(l) - x l, with slope sigmoid(l) - x.
  function bernoulliNll(logits, x, scale, dlogits) {
    let sum = 0;
    for (let i = 0; i < logits.length; i++) {
      sum += softplus(logits[i]) - x[i] * logits[i];
      dlogits[i] = scale * (1 / (1 + Math.exp(-logits[i])) - x[i]);
    }
    return scale * sum;
  }

  // scale * sum of (x - mean)^2 / (2 sigma^2) + log sigma + log(2 pi) / 2, sigma fixed.
  function gaussianNll(mean, x, scale, dmean, sigma = 0.1) {
    const constant = Math.log(sigma) + Math.log(2 * Math.PI) / 2;
    let sum = 0;
    for (let i = 0; i < mean.length; i++) {
      const off = (mean[i] - x[i]) / sigma;
      sum += (off * off) / 2 + constant;
      dmean[i] = (scale * off) / sigma;
    }
    return scale * sum;
  }

  // scale * sum of (mu^2 + e^logvar - 1 - logvar) / 2; the gradients are beta times its own.
  function gaussianKl(mu, logvar, beta, scale, dmu, dlogvar) {
    let sum = 0;
    for (let i = 0; i < mu.length; i++) {
      const grown = Math.expm1(logvar[i]);
      sum += (mu[i] * mu[i] + grown - logvar[i]) / 2;
      dmu[i] = beta * scale * mu[i];
      dlogvar[i] = (beta * scale * grown) / 2;
    }
    return scale * sum;
  }

  // --- Adam, with the paper's constants in two numbers a step -----------------------------------

  function adam(theta, grad, m, v, beta1, beta2, rate, floor) {
    for (let i = 0; i < theta.length; i++) {
      m[i] = beta1 * m[i] + grad[i];
      v[i] = beta2 * v[i] + grad[i] * grad[i];
      theta[i] -= (rate * m[i]) / (Math.sqrt(v[i]) + floor);
    }
  }

  function adamConstants(step, lr, beta1, beta2, eps) {
    const a = (1 - beta1) / (1 - beta1 ** step);
    const c = Math.sqrt((1 - beta2) / (1 - beta2 ** step));
    return [(lr * a) / c, eps / c];
  }

  return {
    linear, linearBackwardInput, linearBackwardWeight, linearBackwardBias,
    relu, reluBackward, sigmoid, sigmoidBackward, tanh, tanhBackward,
    reparameterize, reparameterizeBackward, softplus, bernoulliNll, gaussianNll, gaussianKl,
    adam, adamConstants,
  };
})();
