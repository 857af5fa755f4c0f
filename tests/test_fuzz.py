"""The fuzzer: mutated texts and tables load, or are answered in one line; never anything else.

Of each surface a few whole inputs are changed at random and given to what reads them. The long form
takes 100,000 of each, by pieces: `pytest -m slow tests/test_fuzz.py -k csv`. Files of pictures and
arrays are left to bench/fuzz.py, which counts their memory too.
"""

import ast
import io
import json
import random
import warnings
from pathlib import Path

import numpy as np
import pytest
import runs
from threadpoolctl import threadpool_limits

from minivae import VAE, networks, optim
from minivae.data.columns import read_columns, write_csv
from minivae.data.dataset import load_data, parse_size
from minivae.data.tables import Table, parse
from minivae.errors import MinivaeError
from minivae.parts import BOUNDS, LIKELIHOODS, POSTERIORS, PRIORS, spec
from minivae.parts.table import Table as TableLikelihood
from minivae.runs import check, checkpoint, snapshots
from minivae.runs.directory import Cadence
from minivae.storage import sealed
from minivae.teaching.course import make
from minivae.teaching.exercises import catalogue, state, student
from minivae.teaching.exercises.sandbox import Outcome, Sandbox
from minivae.training import schedules

PIECES, QUICK = 10, 60
# What is put in, besides bytes at random: ends of ranges, and words of the formats.
TOKENS = [
    b"\0", b"\xff" * 4, b"\x7f\xff\xff\xff", b"\0" * 8, b"\x80", b"\n", b"\r", b'"', b",", b";",
    b":", b"nan", b"inf", b"1e400", b"-1", b"0", b"9" * 30, b"9" * 5000, b"null", b"true", b"[]",
    b"{}", b"[" * 2000, b"(" * 300, b"()", b"'", b"=", b"\x1b[31m", b"\xe2\x80\xae",
    b"PK\1\2", b"PK\5\6",
    b"\xff\xda", b"IDAT", b"_", b"-" * 3000, b"lambda:", b"\\N{", b"\xed\xa0\x80", b"1_0", b"\t",
]  # fmt: skip


def mutated(source, seeds):
    """Return one of the seeds with one to five changes, and which it was."""
    which = source.randrange(len(seeds))
    content = bytearray(seeds[which])
    for _ in range(source.randint(1, 5)):
        at, length = source.randint(0, len(content)), source.choice((0, 0, 1, 1, 2, 4, 30))
        kind = source.randrange(6)
        if kind == 0 and content:
            content[at % len(content)] ^= 1 << source.randrange(8)
        elif kind == 1:
            content[at : at + length] = source.randbytes(source.randint(0, 4))
        elif kind == 2:
            content[at : at + length] = source.choice(TOKENS)
        elif kind == 3:  # a piece of another one
            other = source.choice(seeds)
            start = source.randint(0, len(other))
            content[at : at + length] = other[start : start + source.randint(1, 60)]
        elif kind == 4:
            content[at : at + length] = content[at : at + length] * 2
        elif source.random() < 0.3:
            del content[at:]
    return bytes(content), which


# --- what is read --------------------------------------------------------------------------------


def zipped(save, **arrays):
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


def table(folder):
    seeds = [
        b"age,sex,income,=id\n1,m,10.5,x\n3,f,,y\n,f,30.5,x\n5,,40,y\n",
        b"1;2.5\n3;4e-3\n-1;NA\n",
        '\ufeffname\t"a ""b"""\nx\t1\ny\t\u0662\n'.encode(),
    ]

    def look(path):
        columns = read_columns(path)
        known = Table.learn(columns, "fuzz")
        x = known.rows(columns, "fuzz")
        assert np.isfinite(x).all()
        sizes = len(known.numbers), *(len(column.categories) for column in known.groups)
        assert not TableLikelihood(known.width, columns=sizes).outside(x).any()
        write_csv(path, known.cells(x))
        again = parse(known.text())
        cells = read_columns(path, again.kinds())
        np.testing.assert_allclose(again.rows(cells, "again"), x, atol=1e-4)

    return seeds, look


def saved(folder):
    """A run, one of a table, and a model alone; what is loaded from each, to the last bit."""
    path, paths = folder / "t.csv", [folder / "a.npz", folder / "b.npz", folder / "c.npz"]
    path.write_text("a,b,c\n" + "\n".join(f"{i % 7},{'xyz'[i % 3]},{i / 3}" for i in range(20)))
    data = load_data(path)
    one = runs.training(runs.dataset(16), hidden=(), latent=1)
    two = runs.training(data, hidden=(), latent=1, likelihood=data.units.likelihood)
    for file, t in zip(paths, (one, two), strict=False):
        list(t.run(1, threads=1))
        checkpoint.save(file, t.vae, t)
    checkpoint.save(paths[2], VAE(3, (2,), 1, prior="mixture:2", norm="batch"))
    return [file.read_bytes() for file in paths], paths


def settings(folder):
    """What a checkpoint says, changed and sealed again: refused, or a model that works."""
    _, paths = saved(folder)
    held = [sealed.read(path) for path in paths]
    seeds = [json.dumps(config).encode() for config, _ in held]

    def look(path):
        try:
            config = json.loads(path.read_text())
            if not isinstance(config, dict):
                return
            json.dumps(config, allow_nan=False)
        except (ValueError, RecursionError):
            return
        for _, known in held:
            sealed.write(path, config, known)
            try:
                vae, _, moments, _ = checkpoint.read(path)
            except MinivaeError as error:
                assert str(error).isprintable()
            else:
                assert vae.in_turn(1).sample(1).shape == (1, vae.pixels)
                assert moments is None or moments[0].shape == vae.theta.shape

    return seeds, look


def units(folder):
    """The units within a checkpoint: what `claims` turns into a refusal, and nothing else."""
    seeds = [
        b'{"scale": [[0.0, 1.0], [2.0, 3.0], 0.0, 5.0, "gaussian"]}',
        b'{"table": [["a", [], 1.0, 2.0, true], ["b", ["x", "y"], 0.0, 1.0, false]]}',
    ]

    def look(path):
        try:
            found = parse(path.read_bytes().decode())
            assert found.width >= 0 and isinstance(found.text(), str)
        except (KeyError, TypeError, ValueError, OverflowError):
            pass

    return seeds, look


def history(folder):
    t = runs.training(runs.dataset(16), hidden=(), latent=1)
    list(t.run(2, threads=1))
    text = io.StringIO()
    text.write(",".join(t.history[0]._fields) + "\n")
    text.writelines(",".join(map(str, record)) + "\n" for record in t.history)
    films = zipped(np.savez, epochs=np.arange(3), frames=np.zeros((3, 64, 36), np.uint8))

    def look(path):
        for finding in (check._history(path, t.history), check._frames(path)):
            assert finding.said.isprintable()
        path.rename(path.with_name(snapshots.FILE))
        said = []
        snapshots.Snapshots(path.parent, t, said.append)
        assert all(line.isprintable() for line in said)

    return [text.getvalue().encode(), films], look


def courses(folder):
    seeds = [b'{"seed": 7, "exercises": [1, 2, 19], "students": ["ada", "b c"]}\n']

    def look(path):
        found = make.read(path)
        for name in found.students:
            assert found.file(found.exercises[0], name) if found.exercises else name
        path.with_name(state.FILE).write_bytes(path.read_bytes())
        state.load(path.parent)

    return seeds, look


def progress(folder):
    def look(path):
        path.rename(path.with_name(state.FILE))
        assert all(one.tries >= 0 for one in state.load(path.parent).values())

    known = b'{"exercises": {"1": {"tries": 2, "done": true}, "3": {"tries": 0, "done": false}}}'
    return [known], look


def answers(folder):
    seeds = [one.source({}).encode() for one in catalogue.EXERCISES[:12]]
    one = catalogue.find(1)

    def look(path):
        path.rename(path.with_name(one.file))
        ast.parse(student.read(one, path.parent))

    return seeds, look


def judged(folder):
    """Answers that are run, each in the child process of the exercises."""
    seeds = [b"x = 1.5\ny = [x, 2]\n\ndef f(a):\n    return a + x\n\nz = f(3)\n"]
    sandbox = Sandbox(seconds=1)

    def look(path):
        source = path.read_bytes().decode(errors="replace")
        found = sandbox.run(source, path, values=["x", "y", "z"])
        assert isinstance(found, Outcome)
        assert found.failure is None or found.failure.message.isprintable()

    look.close = sandbox._end
    return seeds, look


def words(folder):
    """Everything that is said in a text: networks, parts, schedules, optimizers, sizes."""
    parts = [(kinds, one) for kinds in (LIKELIHOODS, POSTERIORS, PRIORS, BOUNDS) for one in kinds]
    seeds = [(getattr(one, "example", "") or one.kind).encode() for _, one in parts]
    seeds += [b"256,128", b"c32,r3,c64,256", b"28x28", b"500steps", b"adamw:0.01", b"sgd:0.9"]
    seeds += [b"warmup:5", b"cosine", b"step:10,0.5", b"cycle:4,0.5", b"warmup:100steps"]

    def look(path):
        text = path.read_bytes().decode(errors="surrogateescape")
        readers = [
            lambda: networks.parse(text), lambda: parse_size(text), lambda: Cadence.parse(text),
            lambda: optim.parse(text), lambda: schedules.factor(text, 10)(3),
            lambda: schedules.weight(text, 10)(3),
            *(lambda kinds=kinds: spec.find(kinds, text, "part")[0]
              for kinds in (LIKELIHOODS, POSTERIORS, PRIORS, BOUNDS)),
        ]  # fmt: skip
        for read in readers:
            try:
                read()
            except MinivaeError as error:
                assert str(error).isprintable(), ascii(str(error))

    return seeds, look


SURFACES = {
    "csv": table, "settings": settings, "units": units, "history": history, "course": courses,
    "progress": progress, "answer": answers, "judged": judged, "words": words,
}  # fmt: skip
SUFFIX = {"csv": ".csv"}
FEWER = {"judged": 50}  # each of which is a child's work
LONG = [pytest.param(piece, marks=pytest.mark.slow) for piece in range(1, PIECES + 1)]


@pytest.mark.parametrize("piece", [0, *LONG])
@pytest.mark.parametrize("name", SURFACES)
@pytest.mark.filterwarnings("ignore")  # of Python's parser
def test_mutated(tmp_path, name, piece):
    """A result, or a MinivaeError of one printable line: of 100,000 in ten pieces, or of 60."""
    folder = tmp_path / "seeds"
    folder.mkdir()
    count = QUICK if piece == 0 else 100_000 // PIECES // FEWER.get(name, 1)
    refused, path = 0, tmp_path / f"fuzz{SUFFIX.get(name, '')}"
    with threadpool_limits(1):
        seeds, look = SURFACES[name](folder)
        for i in range(count // FEWER.get(name, 1) if piece == 0 else count):
            case = f"{name} {piece} {i}"
            made, _ = mutated(random.Random(case), seeds)
            path.write_bytes(made)
            try:
                look(path)
            except MinivaeError as error:
                refused += 1
                assert str(error).isprintable(), (case, ascii(str(error)))
            except BaseException as error:
                raise AssertionError(f"{case}: {made[:3000]!r}") from error
    getattr(look, "close", lambda: None)()
    print(f"{count} files of {name}, {refused} of them refused as a whole")


def test_the_seeds_are_whole(tmp_path):
    """What is not changed is read: or all would be refused for nothing."""
    for name in ("csv", "settings", "course", "answer"):
        folder = tmp_path / name
        folder.mkdir()
        seeds, look = SURFACES[name](folder)
        for i, seed in enumerate(seeds):
            path = Path(folder, f"{i}{SUFFIX.get(name, '')}")
            path.write_bytes(seed)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                look(path)
