"""Checkpoints: to the bit and back; what is changed in the file is noticed, whatever is in it."""

import json
import math
import os
import tracemalloc
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import runs
from hypothesis import given, settings
from hypothesis import strategies as st

import minivae
from minivae.data import Dataset
from minivae.errors import ArgumentError, CheckpointError, NotFiniteError, WriteError
from minivae.parts import BOUNDS, LIKELIHOODS, POSTERIORS, PRIORS
from minivae.runs import checkpoint
from minivae.storage import sealed
from minivae.vae import VAE


@pytest.fixture(scope="module")
def trained():
    t = runs.training(runs.dataset())
    list(t.run(2, threads=1))
    return t


@pytest.fixture
def file(tmp_path, trained):
    path = tmp_path / "checkpoint.npz"
    checkpoint.save(path, trained.vae, trained)
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A checkpoint of a few kilobytes, with training, as bytes; and what is loaded from it."""
    path = tmp_path_factory.mktemp("small") / "checkpoint.npz"
    t = runs.training(runs.dataset(16), hidden=(), latent=1)
    list(t.run(1, threads=1))
    checkpoint.save(path, t.vae, t)
    return path.read_bytes(), content(path)


def content(path) -> str:
    """All that is loaded, as text to the last bit."""
    vae, config, moments, _ = checkpoint.read(path)
    arrays = [*vae.params.values(), *(moments or ())]
    return repr([config, vae.beta, vae.seed, *(a.tobytes() for a in arrays)])


def forged(path, change=lambda config: None, **arrays):
    """Write a file with a valid seal that says something else."""
    config, held = sealed.read(path)
    change(config)
    held |= arrays
    sealed.write(path, config, {k: v for k, v in held.items() if v is not None})
    return path


# --- there and back ------------------------------------------------------------------------------


def test_model_and_back(tmp_path):
    vae = VAE(10, (4,), 2, beta=0.5, seed=7, dtype="float64")
    minivae.save(tmp_path / "m.npz", vae)
    other = minivae.load(tmp_path / "m.npz")
    assert (other.pixels, other.hidden, other.latent) == (10, (4,), 2)
    assert (other.beta, other.seed, other.dtype) == (0.5, 7, np.float64)
    assert other.params.keys() == vae.params.keys()
    assert other.theta.tobytes() == vae.theta.tobytes()
    with pytest.raises(CheckpointError, match="a model alone"):
        checkpoint.resume(tmp_path / "m.npz", runs.dataset())


def test_training_and_back(file, trained):
    other = checkpoint.resume(file.parent, trained.data)
    assert runs.state(other) == runs.state(trained)
    assert other.history == trained.history
    assert (other.epochs, other.threads) == (2, 1)


def test_sizes_that_are_numpy_numbers(tmp_path):
    data = runs.dataset(32)
    t = runs.training(data, hidden=np.array([4, 3]), latent=np.int64(2), seed=np.int32(5),
                      lr=np.float32(1e-3))  # fmt: skip
    checkpoint.save(tmp_path / "c.npz", t.vae, t)
    other = checkpoint.resume(tmp_path / "c.npz", data)
    assert runs.state(other) == runs.state(t)
    assert (other.vae.hidden, other.seed, other.adam.lr) == ((4, 3), 5, np.float32(1e-3))


def test_numpy_reads_it(file, trained):
    with np.load(file, allow_pickle=False) as arrays:
        assert (arrays["encoder.0.weight"] == trained.vae.params["encoder.0.weight"]).all()
        assert arrays["history"].shape == (2, 9)
        assert json.loads(arrays["config"].tobytes())["format"] == 1


def test_missing_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"checkpoint\.npz does not exist: train a model"):
        minivae.load(tmp_path)
    with pytest.raises(CheckpointError, match="not an ordinary file"):
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "checkpoint.npz").mkdir()
        minivae.load(tmp_path / "sub")
    with pytest.raises(CheckpointError):
        minivae.load("a\0b")


# --- changed by accident -------------------------------------------------------------------------


def flips(small, tmp_path, masks, positions=None):
    """Return how many flips were detected, and how many were without effect."""
    data, before = small
    path = tmp_path / "checkpoint.npz"
    counts = {"detected": 0, "without effect": 0}
    for position in positions or range(len(data)):
        for mask in masks:
            changed = bytearray(data)
            changed[position] ^= mask
            path.write_bytes(changed)
            try:
                after = content(path)
            except CheckpointError as error:
                assert "checkpoint.npz" in str(error) and str(error).isprintable()
                counts["detected"] += 1
            else:
                assert after == before, f"byte {position} ^ {mask}"
                counts["without effect"] += 1
    return counts


@pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_every_flipped_byte(small, tmp_path, every):
    counts = flips(small, tmp_path, [0xFF], range(0, len(small[0]), every))
    tried = -(-len(small[0]) // every)
    assert len(small[0]) < 8192
    assert sum(counts.values()) == tried
    assert counts["detected"] > 0.7 * tried  # the rest: dates and the like in zip headers


LISTS = {"likelihood": LIKELIHOODS, "posterior": POSTERIORS, "prior": PRIORS, "bound": BOUNDS}
MODELS = [
    {kind: getattr(part, "example", "") or part.kind}
    for kind, listed in LISTS.items()
    for part in listed
]
MODELS += [
    {
        "hidden": "c2k2s1,r2,3",
        "norm": norm,
        "activation": how,
        "image_shape": (2, 2),
    }
    for norm, how in (("batch", "prelu"), ("group", "gelu"), ("layer", "elu"), ("none", "silu"))
]
MODELS += [{"condition": [3, 7]}, {"hidden": "c2k2s1", "image_shape": (2, 2, 3)}]
WIDTHS = {"categorical:3,2": 5, "table:1,3,2": 7}


@pytest.mark.parametrize("every", [311, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("model", MODELS, ids=lambda model: ",".join(map(str, model.values())))
def test_flipped_bytes_of_a_model_of_every_kind(tmp_path, model, every):
    pixels = math.prod(model["image_shape"]) if "image_shape" in model else 4
    pixels = WIDTHS.get(model.get("likelihood"), pixels)
    path = tmp_path / "checkpoint.npz"
    checkpoint.save(path, VAE(pixels, **{"hidden": (), "latent": 2} | model))
    data = path.read_bytes()
    counts = flips((data, content(path)), tmp_path, [0xFF], range(0, len(data), every))
    assert counts["detected"] > (0.5 * len(data) if every == 1 else 0)


@pytest.mark.slow
def test_every_flipped_bit(small, tmp_path):
    counts = flips(small, tmp_path, [1 << bit for bit in range(8)])
    print(f"\n{len(small[0])} bytes, {sum(counts.values())} flipped bits: {counts}")
    assert sum(counts.values()) == 8 * len(small[0])


@pytest.mark.parametrize("step", [5, pytest.param(1, marks=pytest.mark.slow)])
def test_every_truncation(small, tmp_path, step):
    data, before = small
    path = tmp_path / "checkpoint.npz"
    for length in range(0, len(data), step):
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError, match=r"checkpoint\.npz"):
            checkpoint.read(path)
    path.write_bytes(data + b"\0")
    with suppress(CheckpointError):
        assert content(path) == before


def test_seal_covers_what_checksums_do_not(file):
    """Members exchanged as wholes have valid checksums, and one array under another's name."""
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    a, b = "adam.m.npy", "adam.v.npy"
    members[a], members[b] = members[b], members[a]
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(CheckpointError, match="does not match its SHA-256"):
        checkpoint.read(file)


PIECES = st.tuples(st.integers(0, 5000), st.integers(0, 30), st.binary(max_size=30))


@given(st.lists(PIECES, min_size=1, max_size=5))
def test_any_damage(small, tmp_path_factory, pieces):
    """Pieces of the file replaced, taken out or put in: detected, or without effect."""
    changed, before = bytearray(small[0]), small[1]
    for start, length, piece in pieces:
        changed[start : start + length] = piece
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    path.write_bytes(changed)
    with suppress(CheckpointError):
        assert content(path) == before


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


@settings(max_examples=12)
@given(st.data())
def test_any_value_under_a_seal(small, tmp_path_factory, data):
    """Any value in any place of the configuration: refused, or a model that works."""
    path = tmp_path_factory.getbasetemp() / "forged.npz"
    path.write_bytes(small[0])

    def change(config):
        table = config[data.draw(st.sampled_from(["model", "data", "training"]))]
        table[data.draw(st.sampled_from(sorted(table)))] = data.draw(JSON)

    forged(path, change)
    with suppress(CheckpointError):
        vae, config, moments, _ = checkpoint.read(path)
        assert vae.sample(1).shape == (1, config["model"]["pixels"])
        assert moments[0].shape == vae.theta.shape


# --- another version, another content ------------------------------------------------------------


def test_newer_format(file):
    forged(file, lambda c: c.update(format=2))
    with pytest.raises(CheckpointError, match=r"format 2, newer .* \(1\): upgrade minivae"):
        checkpoint.read(file)


def test_unknown_keys_pass_but_unknown_arrays_do_not(file):
    forged(file, lambda c: c.update(comment="from elsewhere"))
    assert checkpoint.read(file).config["comment"] == "from elsewhere"
    forged(file, average=np.zeros(3))
    with pytest.raises(CheckpointError, match="average"):
        checkpoint.read(file)


def model(**changes):
    return lambda config: config["model"].update(changes)


def state(**changes):
    return lambda config: config["training"].update(changes)


def data(**changes):
    return lambda config: config["data"].update(changes)


@pytest.mark.parametrize("change", [
    model(hidden=[10**9]), model(hidden=[12, 10**9]), model(hidden=[1] * 20_000), model(hidden=3),
    model(hidden=[12, 8.0]), model(hidden=[12, "8"]), model(hidden=[[12], 8]), model(hidden=[True]),
    model(hidden=[12, -8]), model(hidden=None), model(hidden={}), model(hidden=[8, 12]),
    model(pixels=10**12), model(pixels=0), model(pixels="36"), model(latent=0),
    model(latent=10**30), model(latent=4), model(beta=-1), model(beta="1"),
    model(beta=10**400), model(beta=None),
    model(seed=-1), model(seed=1.5), model(dtype="float16"), model(dtype="float64"),
    model(dtype=["float32"]), model(dtype="O"), model(backend="cupy"),
    lambda c: c.update(model=[]), lambda c: c.update(model=None), lambda c: c.pop("model"),
    lambda c: c.pop("format"), lambda c: c.update(format="1"), lambda c: c.update(format=0),
    lambda c: c.update(format=True), lambda c: c.update(minivae=3),
    lambda c: c.update(minivae="\x1b[2J"), lambda c: c.pop("data"), lambda c: c.update(data=3),
    lambda c: c.update(training=3), lambda c: c.update(training=None), lambda c: c.pop("training"),
    state(epoch=1), state(epoch=10**9), state(epoch=-1), state(epoch=2.0), state(step=-1),
    state(adam_steps="4"), state(lr=0), state(lr=-1.0), state(lr="fast"), state(nll_sum=None),
    state(seconds=-1.0), state(batch_size=0), state(seed=-1), state(threads=0), state(epochs="2"),
    data(name="a\nb"), data(name=7), data(source=None), data(fingerprint="0"),
    data(fingerprint="g" * 64), data(binarize="maybe"), data(binarize=[]), data(image_shape=[6]),
    data(image_shape=[5, 7]), data(image_shape=[-6, -6]), data(image_shape="66"),
    data(image_shape=[36.0, 1]),
])  # fmt: skip
def test_forged_configuration(file, change):
    """Sealed, but untrue: refused in one line, before memory is taken for what it promises."""
    forged(file, change)
    tracemalloc.start()
    with pytest.raises(CheckpointError, match=r"is not a minivae checkpoint") as caught:
        checkpoint.read(file)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4_000_000
    assert str(caught.value).isprintable() and len(str(caught.value)) < 400


@pytest.mark.parametrize("arrays", [
    {"encoder.0.weight": np.zeros((12, 35), "f4")}, {"encoder.0.weight": np.zeros((36, 12), "f4")},
    {"encoder.0.weight": np.zeros((12, 36), "f8")}, {"encoder.0.weight": np.zeros((12, 36), "i4")},
    {"encoder.0.weight": np.full((12, 36), np.nan, "f4")}, {"encoder.0.weight": None},
    {"decoder.4.bias": np.full(36, np.inf, "f4")}, {"adam.m": None}, {"adam.v": np.zeros(3, "f4")},
    {"adam.v": np.zeros((0,), "f4")}, {"history": None}, {"history": np.zeros((2, 8))},
    {"history": np.zeros((2, 9))}, {"history": np.full((2, 9), np.nan)},
    {"encoder.6.weight": np.zeros((1, 1), "f4")}, {"decoder.": np.zeros(1, "f4")},
])  # fmt: skip
def test_forged_arrays(file, arrays):
    forged(file, **arrays)
    with pytest.raises(CheckpointError, match=r"is not a minivae checkpoint"):
        checkpoint.read(file)


@pytest.mark.parametrize(
    "text",
    [b"[" * 60_000, b'{"a":' * 10_000, b"[]", b"1", b"\xff\xfe", b"", b'{"format": NaN}', b"{",
     b'{"format": 1' + b"0" * 5000 + b"}", b" " * 70_000],
)  # fmt: skip
def test_configuration_that_is_none(file, text):
    _, arrays = sealed.read(file)
    arrays["config"] = np.frombuffer(text, np.uint8)
    arrays["sha256"] = np.frombuffer(sealed._digest(arrays), np.uint8)
    np.savez(file, **arrays)
    with pytest.raises(CheckpointError, match="its configuration is no JSON object"):
        checkpoint.read(file)


def test_counts_must_fit_the_data(file, trained):
    forged(file, state(adam_steps=5))
    with pytest.raises(CheckpointError, match="counts steps"):
        checkpoint.resume(file, trained.data)


def test_compressed_is_refused(file, tmp_path):
    """A checkpoint takes no more memory than it is long: no bomb can hide in it."""
    with np.load(file) as arrays:
        np.savez_compressed(tmp_path / "packed.npz", **arrays)
    with pytest.raises(CheckpointError, match="compressed"):
        checkpoint.read(tmp_path / "packed.npz")


def test_no_pickle_is_opened(tmp_path):
    np.savez(tmp_path / "evil.npz", config=np.array([{"a": 1}], dtype=object))
    with pytest.raises(CheckpointError, match="plain"):
        checkpoint.read(tmp_path / "evil.npz")


# --- writing -------------------------------------------------------------------------------------


def test_not_finite_is_not_saved(file, trained):
    before = file.read_bytes()
    bad = VAE(6, (), 1)
    bad.params["decoder.0.bias"][2] = np.nan
    with pytest.raises(NotFiniteError, match=r"decoder\.0\.bias .* not saved"):
        minivae.save(file, bad)
    assert file.read_bytes() == before


def test_too_many_layers_to_load_are_not_saved(tmp_path):
    with pytest.raises(ArgumentError, match="cannot be saved"):
        minivae.save(tmp_path / "m.npz", VAE(1, (1,) * 1100, 1))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_old_one_stays_when_writing_fails(file, monkeypatch, call):
    before = file.read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(WriteError, match=r"checkpoint\.npz cannot be written: No space left"):
        minivae.save(file, VAE(6, (), 1))
    assert file.read_bytes() == before
    assert [p.name for p in file.parent.iterdir()] == [file.name]


def test_order_of_writing(file, monkeypatch):
    """The new file is on the disk before it takes the old one's name, and the name after it."""
    calls = []
    real = os.fsync, os.replace

    def fsync(handle):
        calls.append("folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "file")
        real[0](handle)

    def replace(source, target):
        calls.append("rename")
        assert content(source) and content(target)  # both whole at this moment
        real[1](source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    checkpoint.save(file, VAE(6, (), 1))
    assert calls == ["file", "rename", "folder"]


def test_a_checkpoint_of_the_first_version_goes_on():
    """Made by version 0.1.0, before models had parts; its third epoch gave the numbers below."""
    x = np.random.default_rng(0).integers(0, 256, (60, 9), dtype=np.uint8)
    noise = Dataset("noise", x[:50], x[50:], None, None, (3, 3))
    old = checkpoint.resume(Path(__file__).parent / "golden" / "checkpoint-0.1.0.npz", noise)
    assert (old.vae.hidden, old.vae.beta, old.vae.likelihood.kind) == ((5, 4), 0.5, "bernoulli")
    assert [record.test_loss for record in old.history] == [6.421203682105989, 6.414416109584272]
    (record,) = old.run(3, threads=1)
    # Other processors' products may round otherwise.
    assert record.test_loss == pytest.approx(6.40741139613092, rel=1e-5)
