"""Every fault of the gallery is caught, and nearly every one by its own name."""

import numpy as np
import pytest

from minivae.gradcheck import check
from minivae.gradcheck.gallery import run
from minivae.gradcheck.gallery.deep import RIGHT
from minivae.gradcheck.gallery.faults import inputs_of
from minivae.gradcheck.gallery.run import print_gallery


@pytest.fixture(
    scope="module", params=[slice(8, None, 9), pytest.param(slice(None), marks=pytest.mark.slow)]
)
def findings(request):
    """Of every fault of a layer, and of every ninth of the whole model; the slow form: of all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "VAE_FAULTS", run.VAE_FAULTS[request.param])
        return list(run.gallery(seed=0))


def test_every_fault_is_caught_and_named(findings):
    assert len(findings) >= 25
    assert all(one.caught for one in findings), print_gallery(findings)
    wrong = [one for one in findings if not one.named]
    assert len(wrong) <= len(findings) // 10, print_gallery(findings)


def test_every_cause_of_the_list_occurs(findings):
    causes = {one.cause for one in findings}
    wanted = {"zero", "sign", "scale", "transpose", "mask", "swapped", "accumulated", "stale"}
    wanted |= {"random", "mutates", "shape", "dtype", "missing-term", "partial", "unknown"}
    assert wanted <= causes


@pytest.mark.parametrize("layer", RIGHT)
def test_layers_that_faults_are_made_of_are_right(layer):
    report = check(layer(), *inputs_of(layer, np.random.default_rng(0)))
    assert report.passed, report


def test_no_certain_name_is_given_to_noise():
    from minivae.gradcheck.gallery.linear import PlainLinear

    class Noise(PlainLinear):
        def backward(self, dy):
            dx = super().backward(dy)
            self.grads["weight"][...] = np.cos(np.arange(16)).reshape(4, 4)
            return dx @ np.cos(np.arange(16) ** 2).reshape(4, 4)

    report = check(Noise(), np.random.default_rng(0).normal(size=(6, 4)))
    assert report.entries[0].cause == "unknown"
    assert report.entries[0].explanation.count("not") >= 3
