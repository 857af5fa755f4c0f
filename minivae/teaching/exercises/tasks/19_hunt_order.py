"""Exercise 19, a bug hunt: a step whose encoder learns nothing of the pictures.

Lesson 8 (minivae learn); it is the step of exercise 13.
Two lines are wrong. The verdict and the trace of `minivae exercise check 19` say what comes out of
them, not where they are. Find the lines, mend them, and check again.
"""

import numpy as np

from minivae import formulas as f


def step(vae, x, eps):
    """Return (loss, nll, kl) in nats per image, and leave the gradient in vae.grads."""
    scale = 1 / len(x)
    stats = vae.encoder.forward(x)
    mu, logvar = stats[:, : vae.latent], stats[:, vae.latent :]
    dstats = np.empty_like(stats)
    dmu, dlogvar = dstats[:, : vae.latent], dstats[:, vae.latent :]
    z = vae.posterior.sampler.forward(mu, logvar, eps)
    logits = vae.decoder.forward(z)

    dlogits = np.empty_like(logits)
    nll = f.bernoulli_nll(logits, x, scale, dlogits)
    kl = f.gaussian_kl(mu, logvar, vae.beta, scale, dmu, dlogvar)
    loss = nll + vae.beta * kl

    dz = vae.decoder.backward(dlogits)
    vae.posterior.sampler.backward(dz, dmu, dlogvar)  #: vae.encoder.backward(dstats)
    vae.encoder.backward(dstats)  #: vae.posterior.sampler.backward(dz, dmu, dlogvar)
    return loss, nll, kl
