"""Lesson 6 in numbers: two estimators of one gradient, and how much each of them scatters.

The explanations are in 06-reparameterization.md; `--picture FILE.png` draws both distributions.
"""

import argparse

import numpy as np

import minivae
from minivae import formulas as f

DRAWS = 20_000
C, MU, LOGVAR = 1.0, 0.3, -0.5


def estimates(latent, seed=0):
    """Return draws of the gradient by mu_0 and by logvar_0 of E[sum_j (z_j - c)^2], both ways."""
    eps = np.random.default_rng(seed).standard_normal((DRAWS, latent))
    mu, logvar = np.full(eps.shape, MU), np.full(eps.shape, LOGVAR)
    noise, z = np.empty_like(eps), np.empty_like(eps)
    f.reparameterize(mu, logvar, eps, noise, z)

    dz = 2 * (z - C)  # through z: the derivative of what is inside the mean
    dmu, dlogvar = np.zeros_like(z), np.zeros_like(z)
    f.reparameterize_backward(dz, noise, dmu, dlogvar)

    sigma = np.exp(LOGVAR / 2)
    value = ((z - C) ** 2).sum(axis=1)  # the score function: the value times d log q
    score_mu = value * eps[:, 0] / sigma
    score_logvar = value * (eps[:, 0] ** 2 - 1) / 2
    return dmu[:, 0], dlogvar[:, 0], score_mu, score_logvar


def both_are_right():
    print(f"by hand: dmu {2 * (MU - C):.3f}   dlogvar {np.exp(LOGVAR):.3f}")
    dmu, dlogvar, score_mu, score_logvar = estimates(1)
    for name, one, two in (
        ("reparameterization", dmu, dlogvar),
        ("score function", score_mu, score_logvar),
    ):
        print(
            f"{name:<19} dmu {one.mean():.3f} +- {one.std() / DRAWS**0.5:.3f}"
            f"   dlogvar {two.mean():.3f} +- {two.std() / DRAWS**0.5:.3f}"
        )
    print()


def variance_by_width():
    print("Z     variance of dmu_0:   through z   score function   ratio")
    for latent in (1, 10, 100):
        dmu, _, score_mu, _ = estimates(latent)
        ratio = score_mu.var() / dmu.var()
        print(f"{latent:<25d} {dmu.var():.3f}       {score_mu.var():<16.4g} {ratio:.4g}")
    print(f"by hand, through z: 4 sigma^2 = {4 * np.exp(LOGVAR):.3f}")
    print()


def a_decoder():
    """Return (through z, score function, score with baseline): draws of dmu, each (n, Z)."""
    n = 4000
    vae = minivae.VAE(64, hidden=(32,), latent=8, seed=3, dtype="float64")
    vae.params["decoder.2.weight"][...] *= 4
    rng = np.random.default_rng(1)
    x = np.repeat((rng.random((1, 64)) < 0.3).astype(float), n, axis=0)
    eps = rng.standard_normal((n, 8))
    mu, sigma = 0.5, 0.6
    z = mu + sigma * eps
    logits = vae.decoder.forward(z)
    dlogits, likelihood = np.empty_like(x), np.empty(n)
    f.bernoulli_nll(logits, x, 1.0, dlogits)
    dmu = vae.decoder.backward_input(dlogits).copy()
    nll = -f.bernoulli_log_likelihood(logits, x, likelihood)
    score = eps / sigma
    return dmu, nll[:, None] * score, (nll - nll.mean())[:, None] * score


def on_a_decoder():
    through_z, plain, baseline = a_decoder()
    print("a decoder of 64 pixels, 8 latent dimensions: mean variance of dmu")
    for name, draws in (
        ("through z", through_z),
        ("score function", plain),
        ("score function, baseline", baseline),
    ):
        variance = draws.var(axis=0).mean()
        ratio = variance / through_z.var(axis=0).mean()
        print(f"{name:<25} {variance:<9.4g} {ratio:.4g} times")
    gap = np.abs(through_z.mean(axis=0) - baseline.mean(axis=0))
    error = np.sqrt((through_z.var(axis=0) + baseline.var(axis=0)) / len(through_z))
    print(f"their means differ by at most {(gap / error).max():.1f} standard errors")
    print()


def noise_is_an_argument():
    """Take differences with the same eps and with fresh ones: only the first give a derivative."""
    mu, logvar = np.array([[MU]]), np.array([[LOGVAR]])
    eps, h = np.array([[1.2]]), 1e-5

    def value(logvar, eps):
        return ((mu + np.exp(logvar / 2) * eps - C) ** 2).item()

    numeric = (value(logvar + h, eps) - value(logvar - h, eps)) / (2 * h)
    z = mu + np.exp(logvar / 2) * eps
    dlogvar = 2 * (z - C) * eps * np.exp(logvar / 2) / 2
    print(f"eps given:     dlogvar {dlogvar.item():.6f}, by differences {numeric:.6f}")
    rng = np.random.default_rng(2)
    up, down = (rng.standard_normal((1, 1)) for _ in range(2))
    numeric = (value(logvar + h, up) - value(logvar - h, down)) / (2 * h)
    print(f"eps drawn anew: by differences {numeric:.0f}")


def live():
    """Return what the page's live figure starts from."""
    return {"c": C, "mu": MU, "logvar": LOGVAR}


def picture(file):
    import matplotlib.pyplot as plt

    through_z, plain, baseline = (draws[:, 0] for draws in a_decoder())
    edge = 3 * baseline.std()
    bins = np.linspace(-edge, edge, 121)
    figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
    for name, draws in (
        ("score function", plain),
        ("score function, baseline", baseline),
        ("through z", through_z),
    ):
        axes.hist(draws, bins, density=True, alpha=0.6, label=name)
    axes.axvline(through_z.mean(), color="black", linewidth=1, label="mean")
    axes.set(xlabel="one draw's estimate of dmu", yticks=[])
    axes.legend(fontsize=8)
    figure.savefig(file, dpi=90)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", metavar="FILE.png")
    arguments = parser.parse_args()
    both_are_right()
    variance_by_width()
    on_a_decoder()
    noise_is_an_argument()
    if arguments.picture:
        picture(arguments.picture)


if __name__ == "__main__":
    main()
