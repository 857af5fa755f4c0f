"""Burda, Grosse and Salakhutdinov 2016, "Importance weighted autoencoders", table 1, one layer.

Protocol (the paper's section 5 and its authors' code): MNIST, the first 59,600 training images in
their order, binarised anew at each batch of 20; tanh 784-200-200-50-200-200-784, weights uniform in
±sqrt(6 / (in + out)), biases 0 but for the output's, the logit of the mean image cut to 0.001 and
0.999; stages i = 1 .. 8 of 3^(i-1) epochs at 1e-4 round(10^(1 - (i-1)/7), 1), 3,280 epochs in all.
Adam with beta1 0.99, beta2 0.999, eps 1e-4 (not corrected), second moment begun at ones, of the
gradient summed over the batch. Negative log likelihood of the 10,000 test images, binarised once,
by 5,000 samples each:

    samples K       1      5     50
    VAE         86.76  86.47  86.35
    IWAE        86.76  85.54  84.78

Differences: the encoder gives the log variance where theirs gives log sigma, and Theano's update
applies the moment of the step before. Of a mean gradient (over 20) the same steps are taken by
eps / 20 and a second moment begun at 1 / 400.

    python bench/papers/iwae.py --bound iwae:1 --out iwae1 [--stages 8] [--minutes 5] [--threads 1]

goes on where the folder's file says, each sitting to the bit as without the interruption; at the
end of a stage the file stays as stage-1.npz, stage-2.npz, ... Evaluate them by

    python bench/papers/iwae.py --evaluate iwae1/stage-6.npz [--samples 5000] [--images 10000]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from minivae import VAE, Adam, load_data
from minivae.data.pixels import Source
from minivae.layers import Linear, ReLU, Tanh
from minivae.noise import RowNoise, generator
from minivae.storage.files import replacing
from minivae.training.steps import Steps

TRAIN, BATCH = 59_600, 20
BETA1, BETA2, EPS = 0.99, 0.999, 1e-4


class PaperAdam(Adam):
    """The paper's: its eps is not corrected for the second moment's start."""

    def advance(self) -> None:
        """Begin the next step."""
        super().advance()
        self._floor = self.eps / (1 - self.beta2) ** 0.5


def model(bound: str, images: np.ndarray, seed: int = 0) -> VAE:
    """Return the paper's model, with its first values."""
    vae = VAE(784, (200, 200), 50, seed=seed, bound=bound)
    rng = generator(seed, "glorot")
    for network in (vae.encoder, vae.decoder):
        for name, layer in network.inner.items():
            if isinstance(layer, ReLU):
                network.inner[name] = Tanh()
            elif isinstance(layer, Linear):
                weight, bias = layer.params["weight"], layer.params["bias"]
                weight[...] = rng.uniform(-1, 1, weight.shape) * (6 / sum(weight.shape)) ** 0.5
                bias[...] = 0
    mean = np.clip(images.mean(axis=0) / 255, 0.001, 0.999)
    bias[...] = np.log(mean / (1 - mean))
    return vae


def train(options: argparse.Namespace) -> None:
    """Go on with the stages, as far as the minutes allow."""
    images = load_data("mnist").train[:TRAIN]
    vae = model(options.bound, images)
    adam = PaperAdam(vae.parameters, vae.backend, 1e-3, BETA1, BETA2, EPS / BATCH)
    adam.v[...] = 1 / BATCH**2 / (1 - BETA2)
    folder = options.out
    folder.mkdir(parents=True, exist_ok=True)
    file, history, seconds = folder / "state.npz", [], 0.0
    if file.exists():
        with np.load(file) as saved:
            if saved["bound"] != options.bound:
                raise SystemExit(f"{file} was begun with --bound {saved['bound']}")
            vae.theta[...], adam.m[...], adam.v[...] = saved["theta"], saved["m"], saved["v"]
            history, seconds = saved["history"].tolist(), float(saved["seconds"])
        adam.steps = len(history) * TRAIN // BATCH

    def save(name: str) -> None:
        with replacing(folder / name) as out:
            np.savez(
                out,
                **{"bound": options.bound, "theta": vae.theta, "m": adam.m, "v": adam.v},
                **{"history": history, "seconds": seconds},
            )

    ends = np.cumsum([3**i for i in range(options.stages)])
    steps = Steps(vae, adam, Source(images, "sampled"), BATCH, options.threads)
    start = kept = time.perf_counter()
    while len(history) < ends[-1]:
        began, epoch = time.perf_counter(), len(history)
        stage = int(np.searchsorted(ends, epoch, "right"))
        adam.lr = 1e-4 * round(10 ** (1 - stage / 7), 1)
        noise = (RowNoise(0, purpose, epoch) for purpose in ("eps", "binarize"))
        steps.begin(np.arange(TRAIN), *noise)
        for i in range(TRAIN // BATCH):
            steps.step(i)
        history.append(sum(steps.totals()) / TRAIN)
        now = time.perf_counter()
        seconds += now - began
        if len(history) in ends:
            save(f"stage-{stage + 1}.npz")
        if len(history) in ends or now - kept > 60 or now - start > 60 * options.minutes:
            save("state.npz")
            kept = now
            print(
                f"{time.strftime('%H:%M')} stage {stage + 1} epoch {len(history)} "
                f"bound {history[-1]:.3f}, {seconds / len(history):.2f} s an epoch",
                flush=True,
            )
        if now - start > 60 * options.minutes:
            break
    steps.close()


def evaluate(options: argparse.Namespace) -> None:
    """Print the negative log likelihood of the test images, with its standard error."""
    from minivae.training import log_likelihood

    data = load_data("mnist")
    with np.load(options.evaluate) as saved:
        vae = model(str(saved["bound"]), data.train[:TRAIN])
        vae.theta[...] = saved["theta"]
        epochs = len(saved["history"])
    values = log_likelihood(
        vae,
        data.test[: options.images],
        samples=options.samples,
        binarize="sampled",
        threads=options.threads,
    )
    error = values.std(ddof=1) / len(values) ** 0.5
    print(
        f"{options.evaluate}: {epochs} epochs; -log p(x) {-values.mean():.3f} ± {error:.3f} nats, "
        f"{len(values):,} test images, {options.samples:,} samples"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bound", default="iwae:1", help="elbo, iwae:K, dreg:K")
    parser.add_argument("--out", type=Path, default=Path("iwae1"))
    parser.add_argument("--stages", type=int, default=8)
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--evaluate", type=Path)
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--images", type=int, default=10_000)
    chosen = parser.parse_args()
    evaluate(chosen) if chosen.evaluate else train(chosen)
