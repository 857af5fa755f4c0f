"""Make bounds.npz: importance-weighted bounds and their gradients by PyTorch's autograd, float64.

Needs PyTorch, which is no dependency of minivae; the file is committed and rarely made again.
tests/test_bounds.py holds minivae against it.

    python tests/golden/make_bounds.py
"""

from pathlib import Path

import numpy as np
import torch
from make_golden import mlp
from torch.distributions import Bernoulli, Normal

PIXELS, HIDDEN, LATENT, BETA, SAMPLES, IMAGES = 12, (7, 5), 3, 1.3, 4, 6


def main() -> None:
    """Compute the bounds and write the file."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(1)
    encoder, decoder = mlp(PIXELS, *HIDDEN, 2 * LATENT), mlp(LATENT, *reversed(HIDDEN), PIXELS)
    model = torch.nn.ModuleDict({"encoder": encoder, "decoder": decoder})
    x, eps = torch.rand(IMAGES, PIXELS), torch.randn(IMAGES, SAMPLES, LATENT)
    out = {"x": x, "eps": eps.flatten(1)}
    out |= {f"start {name}": value.clone() for name, value in model.state_dict().items()}

    def log_weights(hold: bool) -> tuple[torch.Tensor, torch.Tensor]:
        """Return log w and log q - log p(z), (images, samples); `hold`: the stats of q are held."""
        mu, logvar = encoder(x)[:, None].chunk(2, dim=-1)
        z = mu + (logvar / 2).exp() * eps
        q = (
            Normal(mu.detach(), (logvar / 2).exp().detach())
            if hold
            else Normal(mu, (logvar / 2).exp())
        )
        kl = (q.log_prob(z) - Normal(0.0, 1.0).log_prob(z)).sum(-1)
        log_p = Bernoulli(logits=decoder(z), validate_args=False).log_prob(x[:, None]).sum(-1)
        return log_p - BETA * kl, kl

    for kind in ("iwae", "stl", "dreg"):
        log_w, kl = log_weights(kind != "iwae")
        loss = -(log_w.logsumexp(1) - np.log(SAMPLES)).mean()
        grads = dict(zip(*gradients(model, loss), strict=True))
        if kind == "dreg":  # the encoder's weights are squared, the decoder's are not
            log_w, _ = log_weights(True)
            squares = log_w.detach().softmax(1) ** 2
            other = dict(zip(*gradients(model, -(squares * log_w).sum(1).mean()), strict=True))
            grads |= {name: grad for name, grad in other.items() if name.startswith("encoder")}
        out[f"terms {kind}"] = torch.stack([loss, loss - BETA * kl.mean(), kl.mean()]).detach()
        out |= {f"grad {kind} {name}": grad for name, grad in grads.items()}

    settings = {"hidden": HIDDEN, "latent": LATENT, "beta": BETA, "samples": SAMPLES}
    np.savez_compressed(
        Path(__file__).with_name("bounds.npz"),
        **{name: value.numpy() for name, value in out.items()},
        **{name: np.array(value) for name, value in settings.items()},
    )


def gradients(model: torch.nn.Module, loss: torch.Tensor) -> tuple[list[str], list[torch.Tensor]]:
    """Return the names of the parameters and their gradients."""
    names, parameters = zip(*model.named_parameters(), strict=True)
    return list(names), list(torch.autograd.grad(loss, parameters, retain_graph=True))


if __name__ == "__main__":
    main()
