"""Runs from Python and side by side: train, stop, go on; History, Run, compare, grids, logs."""

import gc
import json
import os
import signal
import sys
import warnings
import weakref

import numpy as np
import pytest
import runs
from click.testing import CliRunner

import minivae
from minivae.cli import main
from minivae.errors import BackendError
from minivae.looking import plots
from minivae.runs.logs import open_log
from minivae.training import History, Record, Training

DATA = runs.dataset()


def model():
    return minivae.VAE(36, (12, 8), 3)


def train(vae, epochs=4, **settings):
    return minivae.train(vae, DATA, epochs=epochs, batch_size=16, threads=1, **settings)


@pytest.fixture(scope="module")
def whole():
    """The parameters and the records of a training without a stop."""
    vae = model()
    records = [record[:7] for record in train(vae)]
    return vae.theta, records


def invoke(*arguments, code=0):
    done = CliRunner().invoke(main, list(map(str, arguments)))
    assert done.exit_code == code, done.output
    return done


# --- train -------------------------------------------------------------------------------------


def test_a_training_stopped_in_any_way_goes_on_to_the_same_bits(whole, capsys):
    def leave(vae):
        for record in train(vae):
            if record.epoch == 2:
                break

    def interrupt(vae):
        """As Ctrl-C does, in the middle of an epoch."""
        steps, take = [], Training.take_step

        def step(self):
            steps.append(self.step)
            if len(steps) == 35:
                os.kill(os.getpid(), signal.SIGINT)
            return take(self)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Training, "take_step", step)
            history = train(vae).run()
        assert [record.epoch for record in history] == [1, 2]
        assert "stopped after epoch 2, step 0: the same train() goes on" in capsys.readouterr().out

    def enough(vae):
        train(vae, callbacks=[lambda training: training.epoch == 3]).run(progress=False)

    for stop, epoch in ((leave, 2), (interrupt, 2), (enough, 3)):
        vae = model()
        stop(vae)
        with pytest.warns(UserWarning, match=f"goes on after epoch {epoch}, step 0"):
            again = train(vae)
        assert [record[:7] for record in again.run(progress=False)] == whole[1], stop
        np.testing.assert_array_equal(vae.theta, whole[0])


def test_another_second_call_begins_anew_and_says_so(whole):
    vae = model()
    train(vae, 1).run(progress=False)
    with pytest.warns(UserWarning, match="begins anew"):
        records = train(vae, 1, lr=3e-4).run(progress=False)
    assert [record.epoch for record in records] == [1]
    with pytest.warns(UserWarning, match="begins anew"):
        train(vae, 1, lr=3e-4)  # has had that many
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(model())  # another model


def test_what_a_training_leaves_keeps_no_model_alive():
    vae = model()
    train(vae, 1).run(progress=False)
    gone = weakref.ref(vae)
    del vae
    gc.collect()
    assert gone() is None


def test_progress_and_callbacks(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    seen = []
    epochs = train(model(), 2, callbacks=[lambda training: seen.append(training.history[-1])])
    assert "0 of 2" in repr(epochs) and "0 of 2" in epochs._repr_html_()
    history = epochs.run()
    assert history == seen == epochs.history and len(history) == 2
    assert capsys.readouterr().out.startswith("epoch 1/2  train ")


# --- what shows itself -------------------------------------------------------------------------


def test_objects_show_themselves():
    vae = minivae.VAE(36, "c4,5", 3, activation="silu")
    assert repr(vae) == "VAE(pixels=36, hidden=('c4', 5), latent=3, activation='silu')"
    again = eval(repr(vae), {"VAE": minivae.VAE})
    assert again.spec() == vae.spec()
    assert "36, hidden" in vae._repr_html_() and "<td>silu</td>" in vae._repr_html_()
    assert "training: 200, test: 40, images: 6x6" in repr(DATA)
    rows = minivae.load_data({"a": [1.0, 2, 3], "b": [3.0, 1, 2]})
    assert "training: 2, test: 1, rows: 1x4" in repr(rows)
    assert "<td>6x6</td>" in DATA._repr_html_()
    history = History([Record(1, *[2.0] * 8)])
    assert repr(history) == "<History: 1 epochs, test loss 2.00 nats per image>"
    assert history._repr_html_().count("<tr>") == 2
    assert repr(History()) == "<History: 0 epochs>"


def test_names_cannot_become_markup():
    data = runs.Dataset("<script>", DATA.train, DATA.test, None, None, (6, 6))
    assert "<script>" not in data._repr_html_()


def test_plots_return_figures_that_a_notebook_shows():
    vae, history = model(), History([Record(1, *[2.0] * 8), Record(2, *[1.0] * 8)])
    loss = history.plot()
    line = loss.axes[0].lines[1]
    assert line.get_label() == "test" and line.get_ydata().tolist() == [2, 1]
    samples = plots.samples(vae, 4)
    np.testing.assert_array_equal(
        samples.axes[0].images[0].get_array()[2:8, 2:8].ravel(), vae.sample(4)[0]
    )
    for figure in (loss, samples, plots.reconstructions(vae, DATA, 5), plots.latent(vae, DATA)):
        assert figure._repr_png_().startswith(b"\x89PNG")


# --- Run, compare, grids, logs -----------------------------------------------------------------


@pytest.fixture(autouse=True, scope="module")
def one_picture():
    """Draw one picture of a run, in no time: others are of another test."""
    with pytest.MonkeyPatch.context() as patch:
        draw = lambda folder, run: plots.save_grid(folder / "x.png", DATA.pixels(), (6, 6), 8)  # noqa: E731
        patch.setattr("minivae.cli.train.draw_pictures", draw)
        yield


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """A grid of four runs, and what was said."""
    folder = tmp_path_factory.mktemp("grid")
    call = [
        *("train", "--data", runs.npz(folder), *runs.SMALL, "--epochs", 2, "--out", folder / "g"),
        *("--set", "lr=1e-3,3e-4", "--set", "hidden=8,4;5", "--log", "jsonl"),
    ]
    done = invoke(*call)
    return folder, call, done


def test_a_grid_trains_a_run_for_each_choice_and_goes_on(grid):
    folder, call, done = grid
    names = {f"lr={lr},hidden={h}" for lr in ("1e-3", "3e-4") for h in ("8,4", "5")}
    assert {path.name for path in (folder / "g").iterdir()} == names | {"curves.png"}
    assert done.stdout.count("elbo") == 1
    one = folder / "g" / "lr=3e-4,hidden=8,4"
    assert minivae.load(one).hidden == (8, 4)
    os.remove(folder / "g" / "lr=3e-4,hidden=5" / "checkpoint.npz")
    before = (one / "checkpoint.npz").read_bytes()
    again = invoke(*call)
    assert again.stderr.count("has its 2 epochs") == 3
    assert (one / "checkpoint.npz").read_bytes() == before
    assert len(minivae.Run(folder / "g" / "lr=3e-4,hidden=5").history) == 2
    more = [*call]
    more[more.index("--epochs") + 1] = 3
    assert invoke(*more).stderr.count("resuming") == 4
    assert len(minivae.Run(one).history) == 3


def test_draws_need_a_bound_that_takes_them():
    done = invoke("train", "--samples", 5, code=2)
    assert done.stderr.endswith("--samples is for --bound iwae, stl or dreg, not elbo\n")


@pytest.mark.parametrize("text", ["lr", "nothing=1", "out=a,b", "lr=fast", "set=lr=1"])
def test_what_cannot_be_set(text, tmp_path):
    done = invoke("train", "--out", tmp_path / "g", "--set", text, code=2)
    assert "Error" in done.stderr and not (tmp_path / "g").exists()


def test_a_run_from_python(grid):
    path = grid[0] / "g" / "lr=1e-3,hidden=5"
    run = minivae.Run(path)
    assert run.model.hidden == (5,)
    assert run.settings["lr"] == 1e-3 and run.settings["data"] == "tiny"
    assert set(run.figures) == {"x"}
    bundle = run.figures["x"]._repr_mimebundle_()
    assert bundle["image/png"].startswith(b"\x89PNG")
    last = run.history[-1]
    assert run.result["elbo"] == -(last.test_nll + last.test_kl)
    assert "lr" in run._repr_html_() and "hidden=[5]" not in repr(run)


def test_compare_lays_runs_side_by_side(grid, tmp_path):
    folder = grid[0] / "g"
    rows = json.loads(invoke("compare", *sorted(folder.iterdir()), "--json").stdout)
    assert len(rows) == 4 and {row["lr"] for row in rows} == {1e-3, 3e-4}
    assert "latent" not in rows[0]  # they have it in common
    done = invoke("compare", *folder.iterdir(), "--out", tmp_path / "c.png")
    assert "curves.png is not" in done.stderr and (tmp_path / "c.png").stat().st_size > 1000
    assert done.stdout.splitlines()[0].split()[:3] == ["run", "hidden", "lr"]
    assert "train one" in invoke("compare", tmp_path / "none", code=1).stderr
    assert json.loads(invoke("compare", folder, "--json").stdout) == rows  # the grid by its name


def test_a_bound_of_several_draws_is_no_elbo(tmp_path):
    call = ("train", "--data", runs.npz(tmp_path), *runs.SMALL, "--epochs", 1)
    invoke(*call, "--bound", "iwae", "--samples", 2, "--out", tmp_path / "r")
    assert minivae.Run(tmp_path / "r").result["elbo"] is None
    assert json.loads(invoke("evaluate", tmp_path / "r", "--json").stdout)["elbo"] is None


def test_json_carries_run_settings_and_elbo(grid):
    path = grid[0] / "g" / "lr=1e-3,hidden=5"
    said = json.loads(invoke("evaluate", path, "--json", "--data", grid[0] / "tiny.npz").stdout)
    assert said["run"] == str(path) and said["settings"]["lr"] == 1e-3
    assert said["elbo"] == -(said["nll"] + said["kl"])
    said = json.loads(invoke("info", path, "--json").stdout)
    assert said["settings"]["latent"] == 3 and said["result"]["epochs"] >= 2


def test_elbo_does_not_depend_on_beta():
    for beta in (1.0, 4.0):
        assert minivae.runs.run.elbo(minivae.VAE(4, (3,), 2, beta=beta), 3.0, 2.0) == -5
    iwae = minivae.VAE(4, (3,), 2, beta=4.0, bound="iwae:5")
    assert minivae.runs.run.elbo(iwae, 3.0, 2.0) is None


def test_logs(grid, tmp_path):
    path = grid[0] / "g" / "lr=1e-3,hidden=5"
    lines = [json.loads(line) for line in (path / "log.jsonl").read_text().splitlines()]
    assert [Record(**line) for line in lines] == list(minivae.Run(path).history)[: len(lines)]


def test_tensorboard_reads_its_log(tmp_path):
    reading = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="the package tensorboard is not installed: its log is not read",
    )
    for first in (1, 2):  # a run, and the same that goes on
        log = open_log("tensorboard", tmp_path)
        log(Record(first, *[float(first)] * 8))
    read = reading.EventAccumulator(str(tmp_path))
    read.Reload()
    assert {"test/loss", "train/kl"} < set(read.Tags()["scalars"])
    assert [(e.step, e.value) for e in read.Scalars("test/nll")] == [(1, 1.0), (2, 2.0)]


def test_a_missing_package_is_named_before_anything_is_made(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    with pytest.raises(BackendError, match="pip install tensorboard"):
        open_log("tensorboard", tmp_path)
    file = runs.npz(tmp_path)
    said = invoke(
        "train", "--data", file, "--log", "tensorboard", "--out", tmp_path / "run", code=1
    )
    assert "pip install tensorboard" in said.stderr and not (tmp_path / "run").exists()


def test_a_log_that_cannot_be_written_does_not_end_a_training(tmp_path):
    out = tmp_path / "run"
    (out / "log.jsonl").mkdir(parents=True)
    file = runs.npz(tmp_path)
    done = invoke(
        *("train", "--data", file, *runs.SMALL, "--epochs", 2, "--log", "jsonl", "--out", out)
    )
    assert "log.jsonl cannot be written" in done.stderr
    assert len(minivae.Run(out).history) == 2


# --- data that Python holds, and where rows came from ------------------------------------------


def test_train_takes_arrays():
    made = []
    for data in (DATA.train, minivae.load_data(DATA.train)):
        vae = model()
        minivae.train(vae, data, 1, threads=1).run(progress=False)
        made.append(vae.theta)
    np.testing.assert_array_equal(*made)


def test_encode_keeps_rows_and_names_of_files(tmp_path):
    Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i, image in enumerate(runs.images(30)):
        Image.fromarray(image.reshape(6, 6)).save(folder / f"{i:02d}.png")
    vae = model()
    minivae.save(tmp_path / "vae.npz", vae)
    out = tmp_path / "codes.npz"
    invoke("encode", tmp_path / "vae.npz", "--data", folder, "--out", out)
    with np.load(out) as codes:
        rows = np.concatenate([codes["train_rows"], codes["test_rows"]])
        assert sorted(rows) == list(range(30)) and len(codes["test_rows"]) == 3
        for part in ("train", "test"):
            rows = codes[f"{part}_rows"]
            assert codes[f"{part}_files"].tolist() == [f"{row:02d}.png" for row in rows]
            mu, _ = vae.encode(runs.images(30)[rows])
            np.testing.assert_allclose(codes[f"{part}_mu"], mu, atol=1e-6)
