"""Is the digit drawn the digit asked for, and do labels raise the bound? On MNIST, in a minute.

A classifier (scikit-learn's nearest neighbours) is fitted to training images and its own error on
test images is stated; it then judges what a model trained with labels draws, a hundred of each
label. The same model without labels is trained on the same images in the same order, and both are
evaluated on the test images.

    python bench/conditional.py
"""

from __future__ import annotations

import argparse

import numpy as np
from machine import describe
from sklearn.neighbors import KNeighborsClassifier

from minivae import VAE, evaluate, load_data
from minivae.training import Training


def main() -> None:
    """Train, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--each", type=int, default=100, help="samples of each label")
    parser.add_argument("--images", type=int, help="train on so many images alone")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    print(describe())
    data = load_data("mnist")
    x, y = data.pixels("train"), data.train_labels
    assert y is not None and data.test_labels is not None
    judge = KNeighborsClassifier(3).fit(x[: options.images][:20_000], y[: options.images][:20_000])
    right = (judge.predict(data.pixels("test", slice(2000))) == data.test_labels[:2000]).mean()
    print(f"the classifier is right on {right:.1%} of 2,000 test images\n")
    print("| seed | ELBO without labels | with | KL without | with | judged as asked for |")
    print("|---|---|---|---|---|---|")
    if options.images:
        kept = slice(options.images)
        data = type(data)(
            data.name, data.train[kept], data.test, y[kept], data.test_labels, data.image_shape
        )
    asked = np.repeat(np.arange(10), options.each)
    for seed in range(options.seeds):
        terms = []
        for condition in ((), 10):
            vae = VAE(784, seed=seed, condition=condition)
            for _ in Training(vae, data, seed=seed).run(options.epochs):
                pass
            told = vae.given(data.test_labels) if condition else vae
            terms.append(evaluate(told, data.test))
        drawn = vae.given(asked).sample(len(asked), seed)
        rate = (judge.predict(drawn) == asked).mean()
        print(
            f"| {seed} | {-terms[0].loss:.2f} | {-terms[1].loss:.2f} | {terms[0].kl:.2f} | "
            f"{terms[1].kl:.2f} | {rate:.1%} of {len(asked):,} |",
            flush=True,
        )
    print(f"\nELBO in nats per image on 10,000 test images, after {options.epochs} epochs.")


if __name__ == "__main__":
    main()
