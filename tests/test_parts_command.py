"""Parts from the command line: chosen, refused for data that they are not for, listed, told."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from minivae import VAE
from minivae.cli import main
from minivae.data import Dataset
from minivae.errors import DataError
from minivae.parts import BOUNDS, LIKELIHOODS, POSTERIORS, PRIORS
from minivae.training import Training


def run(*arguments):
    return CliRunner().invoke(main, [str(one) for one in arguments])


def made(rows, test=None):
    test = rows[:1] if test is None else test
    return Dataset("made", rows, test, None, None, (1, rows.shape[1]))


@pytest.mark.parametrize(
    "kind, rows, said",
    [
        (
            "bernoulli",
            [[0.5, -2.0]],
            "value -2 at row 0, column 1, .* numbers from 0 to 1: --likelihood gaussian fits",
        ),
        ("bernoulli", [[0.0, 3.0]], "value 3 .*: --likelihood poisson fits"),
        ("poisson", [[0.25, 1.0]], "whole numbers from 0: --likelihood bernoulli fits"),
        ("categorical:2", [[1.0, 0.3]], "value 0.3 .* one 1 in each group"),
        ("gaussian", [[np.nan, 0.3]], "any numbers$"),
    ],
)
def test_data_that_a_likelihood_is_not_for_are_refused(kind, rows, said):
    good = np.array([[0.0, 1.0]], "float32")
    vae = VAE(2, (3,), 1, likelihood=kind)
    Training(vae, made(good))
    for data in (made(np.array(rows, "float32"), good), made(good, np.array(rows, "float32"))):
        with pytest.raises(DataError, match=rf"^made has in its t.* part the .*{said}"):
            Training(vae, data)


def test_a_run_with_other_parts(tmp_path):
    rows = np.random.default_rng(0).integers(0, 256, (40, 6)).astype(np.uint8)
    np.savez(tmp_path / "d.npz", x_train=rows, x_test=rows[:10])
    parts = ("--likelihood", "discretised-logistic", "--posterior", "full", "--prior", "mixture:3")
    common = ("--data", tmp_path / "d.npz", "--out", tmp_path / "run", "--hidden", "4")
    done = run("train", *common, "--latent", 2, "--epochs", 1, *parts)
    assert done.exit_code == 0, done.output
    done = run("evaluate", tmp_path / "run", "--json")
    told = json.loads(done.output)
    assert told["likelihood"] == "discretised-logistic"
    assert told["bits_per_pixel"] == pytest.approx(told["loss"] / 6 / np.log(2))
    assert 6 < told["bits_per_pixel"] < 12  # noise of 8 bits, before the model knows anything
    assert "bits a pixel)" in run("evaluate", tmp_path / "run").output
    assert run("info", tmp_path / "run").output.count("mixture:3") == 1
    done = run("train", *common, "--resume", "--epochs", 2, "--prior", "normal")
    assert done.exit_code == 1
    assert "was begun with --prior mixture:3, not normal" in done.output
    done = run("explore", tmp_path / "run", "--out", tmp_path / "e.html")
    assert done.exit_code == 1
    assert "knows a gaussian posterior" in done.output
    done = run("train", "--data", tmp_path / "d.npz", "--out", tmp_path / "b", "--likelihood", "nb")
    assert done.exit_code == 1
    assert "likelihood 'nb' is unknown: bernoulli, " in done.output
    assert not (tmp_path / "b").exists()


def test_the_table_lists_every_part():
    told = run("info", "--parts").output.splitlines()
    listed = [part for some in (LIKELIHOODS, POSTERIORS, PRIORS, BOUNDS) for part in some]
    assert len(told) == 1 + len(listed)
    rows = json.loads(run("info", "--parts", "--json").output)["parts"]
    by_name = {(row["part"][:5], row["name"]): row for row in rows}
    assert by_name["likel", "bernoulli"]["CUDA"] == "yes"
    assert by_name["likel", "student:5.0"]["CUDA"] == "no"
    assert by_name["poste", "gaussian"]["CUDA"] == by_name["prior", "normal"]["CUDA"] == "yes"
    bounds = [row for row in rows if row["part"] == "bound"]
    assert {row["name"] for row in bounds if row["CUDA"] == "no"} == {"freebits:0.1"}
    assert by_name["likel", "negative-binomial"]["own parameters"] == "logr"
    assert "may be negative" in by_name["likel", "gaussian"]["unit"]
    assert [row["name"].partition(":")[0] for row in rows] == [part.kind for part in listed]
