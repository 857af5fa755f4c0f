"""Exercise 13: the whole training step of a VAE.

Lesson 8 (minivae learn).
Replace every ____ and run: minivae exercise check 13

The layers are minivae's own. `vae.encoder` and `vae.decoder` have `forward(x)`, which returns the
output, and `backward(dy)`, which returns dx and overwrites the gradients of their parameters.
`vae.posterior.sampler` has `forward(mu, logvar, eps)`, which returns z, and
`backward(dz, dmu, dlogvar)`, which ADDS the paths through z to dmu and dlogvar.
"""

import numpy as np

from minivae import formulas as f


def step(vae, x, eps):
    """Return (loss, nll, kl) in nats per image, and leave the gradient in vae.grads.

    x (B, D) are pixels in [0, 1], eps (B, Z) is standard normal noise.
    """
    scale = 1 / len(x)
    stats = vae.encoder.forward(x)  # (B, 2Z): mu, then logvar
    mu, logvar = stats[:, : vae.latent], stats[:, vae.latent :]
    dstats = np.empty_like(stats)
    dmu, dlogvar = dstats[:, : vae.latent], dstats[:, vae.latent :]  # views: writing fills dstats

    z = vae.posterior.sampler.forward(mu, logvar, eps)  #: z = ____
    logits = vae.decoder.forward(z)  #: logits = ____

    # The two terms. Each returns its value and overwrites its gradient: dlogits; dmu and dlogvar.
    dlogits = np.empty_like(logits)
    nll = f.bernoulli_nll(logits, x, scale, dlogits)
    kl = f.gaussian_kl(mu, logvar, vae.beta, scale, dmu, dlogvar)
    loss = nll + vae.beta * kl  #: loss = ____

    # The way back: decoder, sampler, encoder.
    dz = vae.decoder.backward(dlogits)  #: dz = ____
    vae.posterior.sampler.backward(dz, dmu, dlogvar)  #: vae.posterior.sampler.____
    vae.encoder.backward(dstats)  #: vae.encoder.____
    return loss, nll, kl
