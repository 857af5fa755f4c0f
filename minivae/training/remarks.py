"""What makes a run pointless though every setting may be: said in a line each, with the remedy.

What cannot be at all is refused elsewhere; who says the lines, and where, is the caller's matter.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minivae.errors import shown

COLLAPSED = 0.1  # nats of KL below which z is not used
LOOKED_AT = 64  # test images that are looked for among those trained on


def remarks(training: Any) -> Iterator[str]:
    """Yield what should be known of a training before it begins."""
    vae, data = training.vae, training.data
    name = shown(data.name)
    if vae.beta == 0 and not training.beta_schedule:
        yield (
            "beta is 0, so nothing holds z to its prior, and what is sampled from the prior means "
            "nothing: take beta 1, or a smaller one above 0"
        )
    if vae.latent > vae.pixels:
        yield (
            f"{vae.latent} latent dimensions are more than the {vae.pixels} numbers of an image: "
            "take fewer (--latent)"
        )
    for part in ("train", "test"):
        rows = getattr(data, part)
        if len(rows) > 1 and _alike(rows):
            yield f"{name}: all {len(rows):,} images of the {part} part are the same one"
    found = _among(data.test, data.train)
    if found > LOOKED_AT // 2 or found == len(data.test):
        yield (
            f"{name}: {found} of {min(LOOKED_AT, len(data.test))} test images looked at are among "
            "the training images, so the test loss says nothing of new ones: give another test part"
        )


def collapsed(record: Any, bound: Any) -> str | None:
    """Return what is to be said where an epoch leaves z unused; the KL of several draws is none."""
    if record.test_kl >= COLLAPSED or bound.samples > 1:
        return None
    return (
        f"the KL has collapsed to {record.test_kl:.2g} nats, the model makes no use of z: take a "
        "smaller --beta, let it rise (--beta 0:1:20epochs), or --free-bits 0.1"
    )


def _alike(rows: Any) -> bool:
    """Whether all rows are the first one; most data show it in the first two."""
    first = rows[:1]
    return all((rows[i : i + 1000] == first).all() for i in (1, *range(2, len(rows), 1000)))


def _among(test: Any, train: Any) -> int:
    """Return how many of some test rows are training rows too; mapped files are not read for it."""
    if not (isinstance(test, np.ndarray) and isinstance(train, np.ndarray)):
        return 0
    if isinstance(train, np.memmap) or train.dtype != test.dtype:
        return 0
    column = int(np.abs(train[:1000] - train[:1000].mean(axis=0)).sum(axis=0).argmax())
    values = train[:, column]  # the one that differs most
    chosen = test[np.linspace(0, len(test) - 1, min(LOOKED_AT, len(test))).astype(int)]
    return sum(bool((train[values == row[column]] == row).all(axis=1).any()) for row in chosen)
