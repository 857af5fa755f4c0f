"""Every part in the lists of minivae.parts keeps its promises: a new one is tested by being listed.

Golden values are PyTorch's (golden/make_parts.py); densities are held against sums and quadrature.
"""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from minivae import VAE, Adam, parts
from minivae.backend import CupyBackend
from minivae.data.pixels import Source
from minivae.errors import ArgumentError, BackendError
from minivae.gradcheck import check
from minivae.looking.trace import trace_step
from minivae.noise import RowNoise
from minivae.parts import BOUNDS, LIKELIHOODS, POSTERIORS, PRIORS, spec
from minivae.parts.likelihood import COUNTS, LEVELS, ONE_HOT, TABLE, UNIT
from minivae.runs import checkpoint
from minivae.training.crew import can_fork
from minivae.training.steps import Steps

Z = 2
with np.load(Path(__file__).parent / "golden" / "parts.npz") as file:
    GOLDEN = dict(file)

TEXTS = [part.example or part.kind for part in LIKELIHOODS]
likelihoods = pytest.mark.parametrize("kind", TEXTS)


# Columns of the least that a part describes, where it is not one number.
ONE = {"categorical:3,2": 5, "table:1,3,2": 7}


def golden(kind):
    start = f"{kind.partition(':')[0]}."
    return {n.removeprefix(start): array for n, array in GOLDEN.items() if n.startswith(start)}


def make(kind, pixels=None, dtype="float64"):
    part, settings = spec.find(LIKELIHOODS, kind, "likelihood")
    likelihood = part(pixels or golden(kind)["x"].shape[1], dtype=dtype, **settings)
    for name, view in likelihood.params.items():
        view[...] = golden(kind)[name][: view.size]
    return likelihood


def all_that_can_be(likelihood):
    """Return points that p sums or integrates over, (n, D), and their weights."""
    if isinstance(likelihood, parts.Bernoulli):
        return np.array([[0.0], [1.0]]), np.ones(2)
    if likelihood.support == ONE_HOT:
        pairs = [np.hstack([one, two]) for one in np.eye(3) for two in np.eye(2)]
        return np.array(pairs), np.ones(6)
    if likelihood.support == LEVELS:
        return np.arange(256)[:, None] / 255, np.ones(256)
    if likelihood.support == COUNTS:
        return np.arange(4000.0)[:, None], np.ones(4000)
    if likelihood.support == UNIT:  # a density
        points, weights = np.polynomial.legendre.leggauss(60)
        return (points[:, None] + 1) / 2, weights / 2
    if likelihood.support == TABLE:  # no flag, and each pair of categories
        pairs = [np.hstack([0, one, two]) for one in np.eye(3) for two in np.eye(2)]
        x = np.linspace(-30, 30, 2001)
        rows = [np.hstack([x[:, None], np.tile(pair, (len(x), 1))]) for pair in pairs]
        return np.vstack(rows), np.full(6 * len(x), x[1] - x[0])
    # All numbers: x = sinh t, whose steps grow, so that heavy tails are in it too.
    t = np.linspace(-25, 25, 100_001)
    return np.sinh(t)[:, None], np.cosh(t) * (t[1] - t[0])


class AsLayer:
    """A likelihood with x held constant: what the checker takes."""

    def __init__(self, likelihood):
        self.part, self.params, self.grads = likelihood, likelihood.params, likelihood.grads

    def forward(self, eta, x):
        return self.part.forward(eta, x)

    def backward(self, dlog_p):
        return self.part.backward(dlog_p), None


@likelihoods
def test_a_likelihood_is_pytorchs(kind):
    g, likelihood = golden(kind), make(kind)
    log_p = likelihood.forward(g["eta"], g["x"])
    np.testing.assert_allclose(log_p, g["log_p"], rtol=1e-12)
    deta = likelihood.backward(g["weights"])
    np.testing.assert_allclose(deta, g["deta"], rtol=1e-11, atol=1e-13)
    for name, grad in likelihood.grads.items():
        np.testing.assert_allclose(grad, g[f"d{name}"], rtol=1e-11, err_msg=name)


@likelihoods
def test_a_likelihoods_derivatives(kind):
    report = check(AsLayer(make(kind)), golden(kind)["eta"], golden(kind)["x"])
    assert report.passed, str(report)
    assert max(entry.max_rel_error for entry in report.entries) < 1e-8


@likelihoods
def test_value_and_gradient_in_few_passes_are_the_same(kind):
    likelihood, eta, x = make(kind), golden(kind)["eta"], golden(kind)["x"]
    value, deta = likelihood.nll(eta, x, 0.2)
    likelihood.gradients()
    fused = [deta.copy(), *(grad.copy() for grad in likelihood.grads.values())]
    assert value == pytest.approx(-0.2 * likelihood.forward(eta, x).sum(), rel=1e-12)
    apart = [likelihood.backward(np.full(len(x), -0.2)), *likelihood.grads.values()]
    for one, other in zip(fused, apart, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-14)


@likelihoods
@pytest.mark.parametrize("block", [1, 65, 10**6], ids=["rows", "few", "all"])
def test_draws_may_share_an_image_and_be_taken_in_blocks(kind, block, monkeypatch):
    """Three rows of eta of each image, against as many copies of it, one row after another."""
    x, draws = golden(kind)["x"], np.random.default_rng(0)
    eta = np.repeat(golden(kind)["eta"], 3, axis=0)
    eta += draws.standard_normal(eta.shape) / 4
    dlog_p = draws.standard_normal(len(eta))
    likelihood, alone = make(kind), make(kind)
    monkeypatch.setattr(type(likelihood.backend), "block", block)
    log_p, deta = likelihood.forward(eta, x).copy(), likelihood.backward(dlog_p)
    monkeypatch.setattr(type(likelihood.backend), "block", 10**6)
    rows = {name: [] for name in likelihood.grads}
    for row, image in enumerate(np.repeat(x, 3, axis=0)):
        assert log_p[row] == pytest.approx(alone.forward(eta[row : row + 1], image[None])[0], 1e-13)
        want = alone.backward(dlog_p[row : row + 1])
        np.testing.assert_allclose(deta[row : row + 1], want, rtol=1e-12, atol=1e-15)
        for name, grad in alone.grads.items():
            rows[name].append(grad.copy())
    for name, grad in likelihood.grads.items():
        most = np.abs(rows[name]).sum(axis=0)
        assert (np.abs(np.sum(rows[name], axis=0) - grad) <= 1e-14 * most).all(), name


@likelihoods
def test_a_loss_taken_in_blocks_is_the_loss(kind, monkeypatch):
    eta, x = golden(kind)["eta"], golden(kind)["x"]
    found = []
    for block in (1, 65, 10**6):
        likelihood = make(kind)
        monkeypatch.setattr(type(likelihood.backend), "block", block)
        found.append(likelihood.nll(eta, x, 0.2))
    for value, deta in found[:2]:
        assert value == pytest.approx(found[2][0], 1e-13)
        np.testing.assert_allclose(deta, found[2][1], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("kind", ["bernoulli", "poisson", "student"])
def test_a_second_way_back_is_refused_where_the_first_has_used_up_what_was_kept(kind):
    likelihood, g = make(kind), golden(kind)
    likelihood.forward(g["eta"], g["x"])
    likelihood.backward(g["weights"])
    with pytest.raises(AttributeError, match="slopes"):
        likelihood.backward(g["weights"])


@likelihoods
def test_a_likelihood_sums_to_one_and_has_the_mean_that_it_says(kind):
    likelihood = make(kind, pixels=ONE.get(kind, 1))
    points, weights = all_that_can_be(likelihood)
    for eta in golden(kind)["eta"][:, : likelihood.width * likelihood.pixels]:
        p = np.exp(likelihood.forward(np.repeat(eta[None], len(points), axis=0), points)) * weights
        assert p.sum() == pytest.approx(1, rel=1e-9)
        mean = likelihood.mean(eta[None])[0]
        np.testing.assert_allclose(p @ points, mean, rtol=1e-8, atol=1e-9)


@likelihoods
def test_draws_have_mean_and_deviation(kind):
    likelihood = make(kind, pixels=ONE.get(kind, 1))
    points, weights = all_that_can_be(likelihood)
    eta = golden(kind)["eta"][:1, : likelihood.width * likelihood.pixels]
    p = np.exp(likelihood.forward(np.repeat(eta, len(points), axis=0), points)) * weights
    mean = p @ points
    deviation = (p @ (points - mean) ** 2) ** 0.5
    n = 20_000
    drawn = likelihood.sample(np.repeat(eta, n, axis=0), np.random.default_rng(0))
    assert (abs(drawn.mean(axis=0) - mean) <= 5 * deviation / n**0.5).all()
    # 20,000 draws: 1% (more with heavy tails), times 5.
    np.testing.assert_allclose(drawn.std(axis=0), deviation, rtol=0.05, atol=0.005)


def whole(kind, **settings):
    pixels = golden(kind)["x"].shape[1]
    return VAE(pixels, hidden=(4,), latent=Z, seed=3, likelihood=kind, **settings)


def batch(kind, n=7, dtype="float64"):
    rng, x = np.random.default_rng(1), golden(kind)["x"]
    x = (
        rng.permuted(np.resize(x, (n, x.shape[1])), axis=0)
        if kind not in ONE
        else np.resize(x, (n, x.shape[1]))
    )
    return x.astype(dtype), rng.standard_normal((n, Z)).astype(dtype)


@likelihoods
def test_a_models_step(kind):
    vae = whole(kind, dtype="float64", beta=1.7)
    report = check(vae, *batch(kind))
    if vae.likelihood.crosses_rows:  # its step itself sets the variance, and the checker says so
        assert report.entries.pop().name == "likelihood.logvar"
    assert report.passed, str(report)


@likelihoods
def test_float32_stays_float32(kind):
    vae = whole(kind)
    x, eps = batch(kind, dtype="float32")
    vae.step(x, eps)
    eta = vae.decoder.forward(eps)
    assert vae.likelihood.nll(eta, x, 0.1)[1].dtype == np.float32
    assert vae.likelihood.forward(eta, x).dtype == vae.likelihood.mean(eta).dtype == np.float32


@likelihoods
def test_a_window_is_the_whole(kind):
    vae, shared = whole(kind, dtype="float64"), whole(kind, dtype="float64")
    if vae.likelihood.crosses_rows:
        return
    x, eps = batch(kind)
    terms = vae.step(x, eps)
    given = x[::-1].copy()
    shared.step(given, eps)
    given[...] = x
    total = 0.0
    for rows in (slice(0, 3), slice(3, 7)):
        window = shared.window(rows)
        total += window.bound.step(window, x[rows], eps[rows], 1 / 7, 1.0)[0]
    shared.grad[...] = np.nan
    shared.gradients()
    assert total == pytest.approx(terms.nll, rel=1e-12)
    np.testing.assert_allclose(shared.grad, vae.grad, rtol=1e-10, atol=1e-14)


@likelihoods
@pytest.mark.parametrize("bound", ["elbo", "iwae:3"])
@pytest.mark.skipif(not can_fork(), reason="this process cannot share work by forking")
def test_processes_train_as_one_does(kind, bound):
    """Also where the last batch has fewer images than there are processes."""
    ends = []
    for threads in (1, 3):
        vae = whole(kind, bound=bound)
        images = batch(kind, 41, np.float32)[0]
        steps = Steps(vae, Adam(vae.parameters, vae.backend), Source(images), 20, threads)
        assert steps.members == threads
        steps.begin(np.arange(41), RowNoise(0, "eps"), RowNoise(0, "binarize"))
        for i in range(3):
            steps.step(i)
        steps.close()
        ends.append(vae.theta.copy())
    np.testing.assert_allclose(*ends, rtol=1e-5, atol=1e-6)  # three steps of float32 sums


@likelihoods
def test_a_checkpoint_keeps_it(kind, tmp_path):
    vae = whole(kind)
    checkpoint.save(tmp_path / "c.npz", vae)
    loaded = checkpoint.load(tmp_path / "c.npz")
    assert loaded.spec() == vae.spec()
    assert loaded.theta.tobytes() == vae.theta.tobytes()


@likelihoods
def test_a_trace_shows_it(kind):
    trace = trace_step(whole(kind), batch(kind, 2)[0])
    assert trace.worst < 1e-6
    assert {f"d({name})" for name in whole(kind).params} <= {e.name for e in trace.entries}
    assert f"d{whole(kind).likelihood.eta}" in {entry.name for entry in trace.entries}


@likelihoods
@pytest.mark.skipif(not shutil.which("node"), reason="there is no node to run JavaScript")
def test_its_javascript_gives_the_same_numbers(kind):
    likelihood, eta, x = make(kind), golden(kind)["eta"], golden(kind)["x"]
    mean, nll = likelihood.page()
    call = f"[xs.map((x, d) => ((l) => {mean})(e[d])), xs.map((x, d) => ((l) => {nll})(e[d]))]"
    code = f"const e = {eta[0].tolist()}, xs = {x[0].tolist()}; console.log(JSON.stringify({call}))"
    done = subprocess.run(["node", "-e", code], capture_output=True, text=True, check=True)
    means, nlls = json.loads(done.stdout)
    np.testing.assert_allclose(means, likelihood.mean(eta)[0], rtol=1e-12)
    assert sum(nlls) == pytest.approx(-likelihood.forward(eta, x)[0], rel=1e-12)


@likelihoods
def test_cuda_has_its_formulas_or_says_so(kind):
    """A backend of which only what it knows by name is asked, so no device is needed."""
    from minivae.cuda.formulas import CudaFormulas

    backend = CupyBackend.__new__(CupyBackend)
    backend.formulas, backend.empty = CudaFormulas.__new__(CudaFormulas), np.empty
    part, settings = spec.find(LIKELIHOODS, kind, "likelihood")
    try:
        part(golden(kind)["x"].shape[1], backend=backend, **settings)
    except BackendError as error:
        assert "--backend numpy" in str(error)


def test_the_posterior_and_the_prior_are_pytorchs():
    g = {name.removeprefix("latent."): a for name, a in GOLDEN.items() if "latent." in name}
    posterior, prior = POSTERIORS[0](Z), PRIORS[0](Z)
    z, log_q = posterior.forward(g["stats"], g["eps"])
    np.testing.assert_allclose(z, g["z"], rtol=1e-13)
    np.testing.assert_allclose(log_q, g["log_q"], rtol=1e-12)
    np.testing.assert_allclose(posterior.backward(g["dz"], g["dlog_q"]), g["dstats"], rtol=1e-11)
    np.testing.assert_allclose(prior.forward(g["z"]), g["log_p"], rtol=1e-12)
    np.testing.assert_allclose(prior.kl_each(g["stats"]), g["kl"], rtol=1e-12)
    kl, dstats = prior.kl(g["stats"], 1.0, 1 / len(g["z"]))
    assert kl == pytest.approx(g["kl"].mean(), rel=1e-12)
    np.testing.assert_allclose(dstats, g["dstats_kl"], rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("kind", ["full", "planar:2"])
def test_a_posterior_is_pytorchs(kind):
    g = golden(kind)
    part, settings = spec.find(POSTERIORS, kind, "posterior")
    posterior = part(3, **settings)
    z, log_q = posterior.forward(g["stats"], g["eps"])
    np.testing.assert_allclose(z, g["z"], rtol=1e-12)
    np.testing.assert_allclose(log_q, g["log_q"], rtol=1e-12)
    dstats = posterior.backward(g["dz"], g["dlog_q"])
    np.testing.assert_allclose(dstats, g["dstats"], rtol=1e-10, atol=1e-12)


def test_the_full_covariance_has_a_kl_a_slope_and_marginals():
    g, posterior, prior = golden("full"), parts.FullPosterior(3), parts.StandardNormal(3)
    np.testing.assert_allclose(prior.kl_each(g["stats"]), g["kl"], rtol=1e-12)
    kl, dstats = prior.kl(g["stats"], 1.0, 1 / len(g["z"]))
    assert kl == pytest.approx(g["kl"].mean(), rel=1e-12)
    np.testing.assert_allclose(dstats, g["dstats_kl"], rtol=1e-11, atol=1e-14)
    posterior.forward(g["stats"], g["eps"])
    np.testing.assert_allclose(posterior.score(), g["score"], rtol=1e-10)
    mu, logvar = posterior.marginals(g["stats"])
    np.testing.assert_allclose(mu, g["stats"][:, :3])
    np.testing.assert_allclose(np.exp(logvar), g["variance"], rtol=1e-12)


def test_the_planar_flow_has_measured_marginals():
    posterior = parts.PlanarPosterior(2, layers=2)
    stats = np.zeros((3, posterior.columns))
    stats[:, 4:] = [0, 0, 1, 0, 0] * 2  # u = 0: v is along w, and w.v = log 2 - 1 squeezes z_0
    stats[:, 3] = np.log(4.0)  # and nothing moves the other dimension
    mu, logvar = posterior.marginals(stats)
    assert (np.exp(logvar[:, 0]) < 0.8).all()
    assert mu[:, 1] == pytest.approx([0, 0, 0], abs=5 * 2 / 10)  # 100 draws
    assert np.exp(logvar[:, 1]) == pytest.approx([4, 4, 4], rel=5 * 0.14)


def test_a_mixture_is_pytorchs_and_integrates_to_one():
    g, prior = golden("mixture"), parts.Mixture(2, components=3, dtype="float64")
    for name, view in prior.params.items():
        view[...] = g[name]
    np.testing.assert_allclose(prior.forward(g["z"]), g["log_p"], rtol=1e-12)
    np.testing.assert_allclose(prior.backward(g["dlog_p"]), g["dz"], rtol=1e-10)
    prior.gradients()
    for name, grad in prior.grads.items():
        np.testing.assert_allclose(grad, g[f"d{name}"], rtol=1e-10, atol=1e-13, err_msg=name)
    line = np.linspace(-25, 25, 501)
    plane = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    assert np.exp(prior.forward(plane)).sum() * 0.1**2 == pytest.approx(1, rel=1e-9)
    rng = np.random.default_rng(0)
    drawn = prior.draw(rng.standard_normal((20_000, 2)), rng)
    w = np.exp(g["logits"]) / np.exp(g["logits"]).sum()
    mean = w @ g["means"]
    variance = w @ (np.exp(g["logvars"]) + g["means"] ** 2) - mean**2
    assert (abs(drawn.mean(axis=0) - mean) < 5 * (variance / 20_000) ** 0.5).all()


def test_a_prior_of_learned_images_is_the_mixture_of_their_posteriors():
    vae = VAE(5, hidden=(4,), latent=2, prior="vamp:3", dtype="float64")
    z = np.random.default_rng(0).standard_normal((6, 2))
    mu, logvar = vae.encode(vae.params["prior.images"])
    r = z[:, None] - mu
    each = -0.5 * (r * r * np.exp(-logvar) + logvar + np.log(2 * np.pi)).sum(axis=2)
    np.testing.assert_allclose(vae.prior.forward(z), np.log(np.exp(each).mean(axis=1)), rtol=1e-12)
    assert vae.sample(4).shape == (4, 5)


PAIRS = [
    *(("gaussian", "mixture:3"), ("gaussian", "vamp:2"), ("full", "normal")),
    *(("planar:2", "normal"), ("planar:1", "mixture:2")),
]


@pytest.mark.parametrize("bound", ["elbo", pytest.param("iwae:2", marks=pytest.mark.slow)])
@pytest.mark.parametrize("posterior, prior", PAIRS)
def test_a_step_with_other_posteriors_and_priors(posterior, prior, bound):
    """Derivatives, windows and float32 of one step of a model, the KL drawn where it has to be."""
    kinds = {"posterior": posterior, "prior": prior, "bound": bound}
    vae = VAE(4, (3,), Z, seed=3, dtype="float64", beta=1.7, **kinds)
    rng = np.random.default_rng(1)
    x, eps = rng.random((5, 4)), rng.standard_normal((5, vae.noise))
    report = check(vae, x, eps)
    assert report.passed, str(report)
    vae.step(x, eps)
    grad = vae.grad.copy()
    if not vae.prior.crosses_rows:
        windows = [vae.window(rows) for rows in (slice(0, 2), slice(2, 5))]
        for window, rows in zip(windows, (slice(0, 2), slice(2, 5)), strict=True):
            window.bound.step(window, x[rows].copy(), eps[rows], 1 / 5, vae.beta)
        vae.grad[...] = np.nan
        vae.gradients()
        np.testing.assert_allclose(vae.grad, grad, rtol=1e-9, atol=1e-13)
    single = VAE(4, (3,), Z, seed=3, **kinds)
    x, eps = x.astype("float32"), eps.astype("float32")
    single.step(x, eps)
    z, log_q = single.posterior.forward(single.encoder.forward(x), eps[:, :Z])
    assert z.dtype == log_q.dtype == single.prior.forward(z).dtype == np.float32
    assert VAE(**vae.spec()).spec() == vae.spec()


def test_a_drawn_kl_is_the_closed_one_on_average():
    vae = VAE(4, (3,), Z, seed=3, dtype="float64")
    rng = np.random.default_rng(1)
    x, draws = np.repeat(rng.random((2, 4)), 5000, axis=0), rng.standard_normal((10_000, Z))
    closed = vae.bound.step(vae, x, draws, 1 / 10_000, 1.0)[1]
    vae.prior.closed = ()
    kl = vae.bound.terms(vae, x, draws)[1]
    assert vae.bound.step(vae, x, draws, 1 / 10_000, 1.0)[1] == pytest.approx(kl.mean(), rel=1e-12)
    assert abs(kl.mean() - closed) < 5 * kl.std() / 100


@pytest.mark.parametrize(
    "kinds, match",
    [
        ({"posterior": "planar", "bound": "dreg:2"}, "take iwae or elbo"),
        ({"posterior": "full", "prior": "vamp:2"}, "take prior mixture"),
        ({"prior": "mixture:0"}, "components must be"),
        ({"posterior": "planar:0"}, "layers must be"),
    ],
)
def test_parts_that_do_not_fit_are_refused(kinds, match):
    with pytest.raises(ArgumentError, match=match):
        VAE(4, (3,), Z, **kinds)


def test_kinds_are_told_apart():
    for some in (LIKELIHOODS, POSTERIORS, PRIORS, BOUNDS):
        assert len({part.kind for part in some}) == len(some)
