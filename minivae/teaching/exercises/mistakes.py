"""Wrong answers that are often given, each with the sentence that names it.

An answer is recognised by its numbers alone (verdict.py): those of a wrong answer here, exactly.
"""

from __future__ import annotations

from typing import NamedTuple


class Mistake(NamedTuple):
    """A line with a blank, a wrong way to fill it, and what to say."""

    blank: str
    wrong: str
    says: str


_DX = "dx[...] = ____"
_NO_DY = "The chain rule is missing: the slope must be multiplied by dy."
_NO_SCALE = "The mean over the batch is missing: the gradient carries scale = 1/B, like the value."
_NO_BETA = "beta is missing: the gradients are those of beta times the KL."

MISTAKES: dict[str, tuple[Mistake, ...]] = {
    "relu_backward": (
        Mistake(_DX, "dx[...] = dy", "The mask is missing: where the output is 0, so is dx."),
        Mistake(
            _DX,
            "dx[...] = dy * (dy > 0)",
            "The mask is that of dy: it must be where y is positive.",
        ),
        Mistake(_DX, "dx[...] = dy * (y <= 0)", "The mask is inverted: pass dy on where y > 0."),
        Mistake(_DX, "dx[...] = dy * y", "That is dy times the output, not times the slope."),
        Mistake(_DX, "dx[...] = y > 0", _NO_DY),
    ),
    "sigmoid_backward": (
        Mistake(_DX, "dx[...] = y * (1 - y)", _NO_DY),
        Mistake(_DX, "dx[...] = dy * y", "The factor 1 - y is missing: the slope is y (1 - y)."),
        Mistake(_DX, "dx[...] = dy * (1 - y)", "The factor y is missing: the slope is y (1 - y)."),
        Mistake(_DX, "dx[...] = dy * (1 - y * y)", "That is the slope of tanh, not of sigmoid."),
        Mistake(
            "dx[...] = ____",
            "dx[...] = dy * np.exp(-y) / (1 + np.exp(-y)) ** 2",
            "y is the output already: that applies Sigmoid a second time.",
        ),
        Mistake(
            "dx[...] = ____",
            "dx[...] = dy * (1 - dy)",
            "The slope is written with y, the output: here it is one of dy.",
        ),
    ),
    "tanh_backward": (
        Mistake(_DX, "dx[...] = 1 - y * y", _NO_DY),
        Mistake(_DX, "dx[...] = dy * y * (1 - y)", "That is the slope of sigmoid, not of tanh."),
        Mistake(_DX, "dx[...] = dy * (1 - y)", "The square is missing: the slope is 1 - y^2."),
        Mistake(_DX, "dx[...] = dy * (1 - y) ** 2", "(1 - y)^2 is not 1 - y^2."),
        Mistake(
            _DX,
            "dx[...] = dy / np.cosh(y) ** 2",
            "1 / cosh^2 is right for the input x, but y is the output: write it with y.",
        ),
        Mistake(
            "dx[...] = ____",
            "dx[...] = dy * (1 - 2 * y)",
            "2 y is the slope of y^2: the square itself belongs here, 1 - y^2.",
        ),
    ),
    "linear_backward_input": (
        Mistake(_DX, "dx[...] = weight.sum(axis=0)", _NO_DY),
        Mistake(
            _DX,
            "dx[...] = dy @ weight / len(dy)",
            "No mean over the batch belongs here: dx_bi is a sum over o, of row b alone.",
        ),
    ),
    "linear_backward_weight": (
        Mistake(
            "dbias[...] = ____",
            "dbias[...] = dy.mean(axis=0)",
            "A sum over the batch, not a mean: the 1/B of the loss is in dy already.",
        ),
        Mistake(
            "dweight[...] = ____",
            "dweight[...] = dy.T @ x / len(x)",
            "A sum over the batch, not a mean: the 1/B of the loss is in dy already.",
        ),
        Mistake(
            "dbias[...] = ____",
            "dbias[...] = dy.sum()",
            "That sums over the outputs too: each output has its own bias, so sum over axis 0.",
        ),
        Mistake(
            "dbias[...] = ____",
            "dbias[...] = dy[0]",
            "That is the first row alone: the bias is shared by all rows, so sum over them.",
        ),
    ),
    "bernoulli_nll": (
        Mistake("dlogits[...] = ____", "dlogits[...] = probability - x", _NO_SCALE),
        Mistake(
            "dlogits[...] = ____",
            "dlogits[...] = scale * (x - probability)",
            "The sign is wrong: what the model said minus what is true.",
        ),
        Mistake(
            "dlogits[...] = ____",
            "dlogits[...] = scale * (logits - x)",
            "The sigmoid is missing: the slope of softplus is sigmoid(l), here `probability`.",
        ),
        Mistake(
            "dlogits[...] = ____",
            "dlogits[...] = scale * (probability - x) * probability * (1 - probability)",
            "The sigmoid's slope is in it already: it cancels against the denominator.",
        ),
        Mistake(
            "softplus = ____",
            "softplus = np.log(1 + np.exp(logits))",
            "e^l overflows for large l: write max(l, 0) + log(1 + e^-|l|).",
        ),
        Mistake(
            "softplus = ____",
            "softplus = np.log1p(np.exp(-np.abs(logits)))",
            "max(l, 0) is missing: softplus(l) = max(l, 0) + log(1 + e^-|l|).",
        ),
        Mistake(
            "dlogits[...] = ____",
            "dlogits[...] = scale * (probability - x) / (probability * (1 - probability))",
            "That is the gradient by the probability; by the logit, p (1 - p) cancels.",
        ),
        Mistake(
            "softplus = ____",
            "softplus = np.maximum(logits, 0) + np.log1p(1 + np.exp(-np.abs(logits)))",
            "log1p(a) is log(1 + a): the 1 is added twice.",
        ),
        Mistake(
            "softplus = ____",
            "softplus = np.maximum(logits, 0) + np.log1p(-np.exp(-np.abs(logits)))",
            "The sign is wrong inside the logarithm: log(1 + e^-|l|).",
        ),
    ),
    "importance_bound": (
        Mistake(
            "log_w = ____",
            "log_w = log_likelihood - log_prior + log_q",
            "log_prior and log_q are exchanged: the prior multiplies and q divides.",
        ),
        Mistake(
            "log_w = ____",
            "log_w = log_likelihood + log_prior",
            "log_q is missing: w = p(x|z) p(z) / q(z|x).",
        ),
        Mistake(
            "log_w = ____",
            "log_w = log_q - log_likelihood - log_prior",
            "The sign is wrong: these are weights of the loss, not of the likelihood.",
        ),
        Mistake(
            "return ____",
            "return log_w.mean(axis=0)",
            "A mean of logarithms is the ELBO again: take the logarithm of the mean.",
        ),
        Mistake(
            "return ____",
            "return top + np.log(np.exp(log_w - top).sum(axis=0))",
            "The 1/K is missing: a mean over the draws, not a sum.",
        ),
        Mistake(
            "return ____",
            "return np.log(np.exp(log_w - top).mean(axis=0))",
            "The largest was taken out and must be added again: top + log(...).",
        ),
        Mistake(
            "return ____",
            "return np.log(np.exp(log_w).mean(axis=0))",
            "The exponentials underflow to 0: take the largest out first.",
        ),
        Mistake(
            "return ____",
            "return top + np.log(np.exp(log_w - top).mean())",
            "That averages over the images too: the mean is over the draws, axis 0.",
        ),
        Mistake(
            "log_w = ____",
            "log_w = log_likelihood * log_prior / log_q",
            "Logarithms of products add: log w = log p(x|z) + log p(z) - log q(z|x).",
        ),
    ),
    "gaussian_kl": (
        Mistake(
            "dlogvar[...] = ____",
            "dlogvar[...] = beta * scale * np.expm1(logvar)",
            "The half is missing: d/dlogvar [(e^logvar - logvar) / 2] = (e^logvar - 1) / 2.",
        ),
        Mistake(
            "dmu[...] = ____",
            "dmu[...] = beta * scale * 2 * mu",
            "The half is missing: the slope of mu^2 / 2 is mu.",
        ),
        Mistake(
            "dmu[...] = ____",
            "dmu[...] = beta * scale * mu / 2",
            "There is a half too many: the slope of mu^2 / 2 is mu.",
        ),
        Mistake(
            "dlogvar[...] = ____",
            "dlogvar[...] = beta * scale * 0.5 * np.exp(logvar)",
            "The -1 is missing, the slope of -logvar: (e^logvar - 1) / 2.",
        ),
        Mistake(
            "dlogvar[...] = ____",
            "dlogvar[...] = beta * scale * 0.5 * np.expm1(0.5 * logvar)",
            "e^logvar is the variance; that is the deviation, e^(logvar/2).",
        ),
        Mistake(
            "dlogvar[...] = ____",
            "dlogvar[...] = -beta * scale * 0.5 * np.expm1(logvar)",
            "The sign is wrong: the KL is added to the loss, so it is (e^logvar - 1) / 2.",
        ),
        Mistake("dmu[...] = ____", "dmu[...] = beta * mu", _NO_SCALE),
        Mistake("dmu[...] = ____", "dmu[...] = scale * mu", _NO_BETA),
        Mistake("dlogvar[...] = ____", "dlogvar[...] = beta * 0.5 * np.expm1(logvar)", _NO_SCALE),
        Mistake("dlogvar[...] = ____", "dlogvar[...] = scale * 0.5 * np.expm1(logvar)", _NO_BETA),
        Mistake(
            "dlogvar[...] = ____",
            "dlogvar[...] = beta * scale * 0.5 * (np.exp(logvar) - logvar)",
            "That is the cost, not its slope: the slope of -logvar is -1.",
        ),
        Mistake(
            "dlogvar[...] = ____",
            "dlogvar[...] = beta * scale * 0.5 * (np.exp(logvar) - 1 - logvar)",
            "That is the cost itself, not its slope: the slope of -logvar is -1.",
        ),
        Mistake(
            "dlogvar[...] = ____",
            "dlogvar[...] = beta * scale * 0.5 * (1 - 1 / logvar)",
            "logvar is no variance: the variance is e^logvar, and the slope is by logvar.",
        ),
    ),
    "reparameterize_backward": (
        Mistake(
            "dlogvar += ____",
            "dlogvar += dz * noise",
            "The half is missing: d/dlogvar of exp(logvar/2) is exp(logvar/2) / 2.",
        ),
        Mistake(
            "dlogvar += ____",
            "dlogvar[...] = 0.5 * dz * noise",
            "This overwrites the KL's own gradient: add to what is there (+=).",
        ),
        Mistake(
            "dmu += ____",
            "dmu[...] = dz",
            "This overwrites the KL's own gradient: add to what is there (+=).",
        ),
        Mistake("dlogvar += ____", "dlogvar += 0.5 * noise", _NO_DY.replace("dy", "dz")),
        Mistake(
            "dlogvar += ____", "dlogvar += 0.5 * dz", "noise is missing: dz/dlogvar = noise / 2."
        ),
        Mistake("dmu += ____", "dmu += dz * noise", "dz/dmu is 1: dmu takes dz as it is."),
    ),
    "adam": (
        Mistake("mhat = ____", "mhat = m", "m is not corrected: divide it by 1 - beta1**step."),
        Mistake("vhat = ____", "vhat = v", "v is not corrected: divide it by 1 - beta2**step."),
        Mistake(
            "vhat = ____",
            "vhat = v / (1 - beta2)",
            "The correction must fade: divide by 1 - beta2**step, with the step.",
        ),
        Mistake(
            "mhat = ____",
            "mhat = m / (1 - beta1)",
            "The correction must fade: divide by 1 - beta1**step, with the step.",
        ),
        Mistake("v += ____", "v += (1 - beta2) * grad", "v is the mean of the gradient's square."),
        Mistake("m += ____", "m += grad", "The new gradient has the weight 1 - beta1."),
        Mistake("v += ____", "v += grad**2", "The new square has the weight 1 - beta2."),
        Mistake(
            "theta -= ____",
            "theta -= lr * mhat / vhat",
            "The root is missing: divide by sqrt(vhat) + eps.",
        ),
        Mistake(
            "theta -= ____",
            "theta -= lr * mhat / np.sqrt(vhat + eps)",
            "eps stands outside the root: sqrt(vhat) + eps.",
        ),
        Mistake(
            "theta -= ____",
            "theta -= -lr * mhat / (np.sqrt(vhat) + eps)",
            "The sign is wrong: that climbs.",
        ),
        Mistake(
            "theta -= ____",
            "theta = theta - lr * mhat / (np.sqrt(vhat) + eps)",
            "theta = ... makes a new array and leaves the model's as it was: write theta -= ...",
        ),
        Mistake(
            "m += ____",
            "m += (1 - beta1) * grad**2",
            "m is the mean of the gradient itself, not of its square.",
        ),
        Mistake(
            "m += ____",
            "m += beta1 * m + (1 - beta1) * grad",
            "beta1 * m is in it twice: the line before has it already.",
        ),
        Mistake(
            "mhat = ____",
            "mhat = m / (1 - beta1) ** step",
            "The power is of beta1 alone: 1 - beta1**step, with its own brackets.",
        ),
        Mistake(
            "vhat = ____",
            "vhat = v / (1 - beta2) ** step",
            "The power is of beta2 alone: 1 - beta2**step, with its own brackets.",
        ),
        Mistake(
            "mhat = ____",
            "m /= 1 - beta1**step; mhat = m",
            "That changes m itself, and the next step corrects it again: mhat = ...",
        ),
        Mistake(
            "theta -= ____",
            "theta -= lr * m / (np.sqrt(v) + eps)",
            "mhat and vhat are not used: both corrections are lost.",
        ),
        Mistake(
            "theta -= ____",
            "theta -= lr * grad",
            "That is plain gradient descent: mhat and vhat are not used.",
        ),
    ),
    "importance_gradient": (
        Mistake(
            "dlog_w[...] = ____",
            "dlog_w[...] = -scale * weights / (total * len(log_w))",
            "It is divided by the number of draws, len(log_w): the 1/K of the mean is a constant "
            "in the logarithm and has no gradient; the softmax adds up to 1.",
        ),
        Mistake(
            "return ____",
            "return -scale * np.sum(top + np.log(total / log_w.shape[1]))",
            "It is divided by the number of images, shape[1]: the mean is over the draws.",
        ),
        Mistake(
            "return ____",
            "return -scale * np.sum(log_w.mean(axis=0))",
            "A mean of logarithms is the ELBO: take the log of the mean.",
        ),
    ),
    "decoder_backward": (
        Mistake(
            "da = ____",
            "da = dh",
            "The ReLU is missing on the way back: where h is 0, nothing passes.",
        ),
        Mistake(
            "da = ____",
            "da = dh * (dh > 0)",
            "The mask is that of dh: it must be where h, the forward's output, is positive.",
        ),
        Mistake(
            "return ____",
            'return dh @ self.params["0.weight"]',
            "That skips the ReLU: Linear 0 gets da, not dh.",
        ),
        Mistake(
            "da = ____",
            "da = dh * self.h",
            "The slope is 1 where h > 0, and 0 elsewhere: not h itself.",
        ),
        Mistake(
            "da = ____",
            "da = dh * self.h * (1 - self.h)",
            "That is the slope of Sigmoid: the layer is a ReLU, 1 where h > 0.",
        ),
    ),
    "encoder_backward": (
        Mistake(
            "dmu = ____", "dmu = dz", "The KL's own gradient is missing: + dkl * scale * self.mu."
        ),
        Mistake(
            "dmu = ____", "dmu = dkl * scale * self.mu", "The path through z is missing: + dz."
        ),
        Mistake(
            "dlogvar = ____",
            "dlogvar = dz * self.noise / 2",
            "The KL's own gradient is missing: + dkl * scale * (e^logvar - 1) / 2.",
        ),
        Mistake(
            "dlogvar = ____",
            "dlogvar = dkl * scale * np.expm1(self.logvar) / 2",
            "The path through z is missing: + dz * noise / 2.",
        ),
        Mistake(
            "dlogvar = ____",
            "dlogvar = dz * self.noise + dkl * scale * np.expm1(self.logvar) / 2",
            "The half is missing in the path through z: dz * noise / 2.",
        ),
        Mistake(
            "dlogvar = ____",
            "dlogvar = dz * self.noise / 2 + dkl * scale * np.expm1(self.logvar)",
            "The half is missing in the KL's own gradient: (e^logvar - 1) / 2.",
        ),
        Mistake(
            "dstats = ____",
            "dstats = np.concatenate([dlogvar, dmu], axis=1)",
            "The halves are exchanged: mu comes first, as in stats.",
        ),
        Mistake(
            "dmu = ____",
            "dmu = dz + dkl * self.mu",
            "The mean over the batch is missing in the KL's own gradient: times scale.",
        ),
        Mistake(
            "dlogvar = ____",
            "dlogvar = (dz * np.exp(self.logvar / 2) + dkl * scale * np.expm1(self.logvar)) / 2",
            "eps is missing in the path through z: the noise is sigma eps.",
        ),
    ),
    "step": (
        Mistake("loss = ____", "loss = nll + kl", "beta is missing: the loss is nll + beta * kl."),
        Mistake(
            "loss = ____",
            "loss = nll - vae.beta * kl",
            "The sign is wrong: the KL is a price, it is added to the loss.",
        ),
        Mistake(
            "z = ____",
            "z = mu",
            "z must be drawn, by vae.posterior.sampler.forward: at z = mu the loss is no bound.",
        ),
        Mistake(
            "vae.posterior.sampler.____",
            "pass",
            "The path through z is missing: the sampler's backward adds it to dmu and dlogvar.",
        ),
        Mistake(
            "vae.encoder.____",
            "vae.encoder.backward(np.concatenate([dlogvar, dmu], axis=1))",
            "The halves are exchanged: mu comes first, as in stats.",
        ),
        Mistake(
            "vae.encoder.____",
            "pass",
            "The encoder's backward is missing: it takes dstats.",
        ),
        Mistake(
            "logits = ____",
            "logits = vae.decoder.forward(mu)",
            "The decoder takes the draw z, not mu: at z = mu the loss is no bound.",
        ),
        Mistake(
            "z = ____",
            "z = vae.posterior.sampler.forward(mu, 2 * logvar, eps)",
            "The sampler takes logvar itself: sigma = exp(logvar / 2) is its matter.",
        ),
        Mistake(
            "loss = ____",
            "loss = vae.beta * nll + kl",
            "beta weighs the KL, not nll: the loss is nll + beta * kl.",
        ),
        Mistake(
            "logits = ____",
            "logits = 1 / (1 + np.exp(-vae.decoder.forward(z)))",
            "The likelihood takes logits, not probabilities: no Sigmoid here.",
        ),
    ),
}
