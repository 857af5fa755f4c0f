// The formulas of formulas.py, each backward under its forward, on flat arrays of 64-bit floats.
// Names, arguments and order are Python's; (B, n) lies row after row. They know nothing of a page.

const formulas = (() => {
  // --- Linear: y = x W^T + b, with W of shape (out, in) ----------------------------------------

  function linear(x, weight, bias, y) {
    const outputs = bias.length, inputs = weight.length / outputs, rows = y.length / outputs;
    for (let b = 0; b < rows; b++) {
      const from = b * inputs, to = b * outputs;
      let o = 0;
      for (; o + 4 <= outputs; o += 4) { // four sums at a time: none waits for another's addition
        let [one, two, three, four] = [bias[o], bias[o + 1], bias[o + 2], bias[o + 3]];
        for (let i = 0, w = o * inputs; i < inputs; i++, w++) {
          const value = x[from + i];
          one += value * weight[w];
          two += value * weight[w + inputs];
          three += value * weight[w + 2 * inputs];
          four += value * weight[w + 3 * inputs];
        }
        y[to + o] = one;
        y[to + o + 1] = two;
        y[to + o + 2] = three;
        y[to + o + 3] = four;
      }
      for (; o < outputs; o++) {
        let sum = bias[o];
        for (let i = 0, w = o * inputs; i < inputs; i++, w++) sum += x[from + i] * weight[w];
        y[to + o] = sum;
      }
    }
    return y;
  }

  // Add four rows of x, each times a number, to a row of y: how both products of the
  // way back are made. Rows that count 0 times are left out (behind a ReLU many are).
  function addRows(y, to, x, from, stride, length, a, b, c, d) {
    if (a === 0 && b === 0 && c === 0 && d === 0) return;
    const [two, three, four] = [from + stride, from + 2 * stride, from + 3 * stride];
    for (let i = 0; i < length; i++) {
      y[to + i] += a * x[from + i] + b * x[two + i] + c * x[three + i] + d * x[four + i];
    }
  }

  function addRow(y, to, x, from, length, a) {
    if (a !== 0) for (let i = 0; i < length; i++) y[to + i] += a * x[from + i];
  }

  // dx_bi = sum_o dy_bo W_oi
  function linearBackwardInput(dy, weight, dx, outputs) {
    const rows = dy.length / outputs, inputs = weight.length / outputs;
    dx.fill(0);
    for (let b = 0; b < rows; b++) {
      let o = 0;
      for (let at = b * outputs; o + 4 <= outputs; o += 4, at += 4) {
        addRows(dx, b * inputs, weight, o * inputs, inputs, inputs, dy[at], dy[at + 1], dy[at + 2], dy[at + 3]);
      }
      for (; o < outputs; o++) addRow(dx, b * inputs, weight, o * inputs, inputs, dy[b * outputs + o]);
    }
    return dx;
  }

  // dW_oi = sum_b dy_bo x_bi
  function linearBackwardWeight(x, dy, dweight, outputs) {
    const rows = dy.length / outputs, inputs = dweight.length / outputs;
    dweight.fill(0);
    for (let o = 0; o < outputs; o++) {
      let b = 0;
      for (let at = o; b + 4 <= rows; b += 4, at += 4 * outputs) {
        addRows(dweight, o * inputs, x, b * inputs, inputs, inputs,
          dy[at], dy[at + outputs], dy[at + 2 * outputs], dy[at + 3 * outputs]);
      }
      for (; b < rows; b++) addRow(dweight, o * inputs, x, b * inputs, inputs, dy[b * outputs + o]);
    }
    return dweight;
  }

  // db_o = sum_b dy_bo
  function linearBackwardBias(dy, dbias) {
    const outputs = dbias.length;
    dbias.fill(0);
    for (let b = 0; b < dy.length; b += outputs) for (let o = 0; o < outputs; o++) dbias[o] += dy[b + o];
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
