"""Tables: cells to rows and back, what cannot be a table, and the jobs done with one."""

import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

import minivae
from minivae import VAE, Run, jobs, load_data, train
from minivae.cli import main
from minivae.data.columns import read_columns, write_csv
from minivae.data.tables import Scale, Table, parse
from minivae.errors import ArgumentError, CheckpointError, DataError
from minivae.parts.categorical import Categorical
from minivae.parts.gaussian_each import FeatureGaussian
from minivae.parts.table import Table as Likelihood
from minivae.runs import checkpoint
from minivae.storage import sealed

SMALL = """age,sex,income,=id
1,m,10.5,x
3,f,,y
,f,30.5,x
5,,40,y
"""


def run(*arguments):
    return CliRunner().invoke(main, [str(one) for one in arguments])


def written(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.fixture
def small(tmp_path):
    return written(tmp_path / "small.csv", SMALL)


def people(n=400, seed=0):
    """Return columns of which one follows from the others, and a text from a number."""
    z = np.random.default_rng(seed).normal(size=(n, 4))
    return {
        "height": np.round(170 + 10 * z[:, 0], 1),
        "weight": 70 + 12 * z[:, 0] + 1 * z[:, 1],
        "shoe": np.rint(42 + 3 * z[:, 0] + 0.3 * z[:, 2]),
        "noise": 1e-3 * z[:, 3],
        "size": np.where(z[:, 0] < -0.5, "S", np.where(z[:, 0] < 0.5, "M", "L")).astype(object),
    }


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    columns = people() | {"id": np.array([f"@{i}" for i in range(400)], object)}
    columns["weight"][::7] = np.nan
    columns["size"][3::9] = None
    write_csv(folder / "people.csv", columns)
    done = run(
        *("train", "--data", folder / "people.csv", "--drop", "id", "--out", folder / "run"),
        *("--epochs", 60, "--hidden", "32", "--latent", 2, "--lr", 5e-3, "--checkpoint-every", 60),
    )
    assert done.exit_code == 0, done.output
    assert " rows/s" in done.output and "nats per row" in done.output
    assert {"loss.png", "latent.png"} <= {file.name for file in (folder / "run").iterdir()}
    return folder


# --- cells and rows ------------------------------------------------------------------------------


def test_a_row_holds_numbers_flags_and_categories(small):
    cells = read_columns(small)
    table = Table.learn(cells, "small")
    assert table.likelihood == "table:2,2,2"
    a, b = 2 / (8 / 3) ** 0.5, 12.5**0.5  # (x - 3) / deviation of 1, 3, 5; income's own deviation
    b = np.std([10.5, 30.5, 40])
    expected = [
        [-a, (10.5 - 27) / b, 0, 0, 0, 1, 1, 0],
        [0, 0, 0, 1, 1, 0, 0, 1],
        [0, 3.5 / b, 1, 0, 1, 0, 1, 0],
        [a, 13 / b, 0, 0, 0, 0, 0, 1],
    ]
    rows = table.rows(cells, "small")
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, expected, rtol=1e-6)
    back = table.cells(rows)
    assert list(back) == ["age", "sex", "income", "=id"]
    for name, column in cells.items():
        assert json.dumps(back[name].tolist()) == json.dumps(column.tolist())  # NaN alike
    again = parse(table.text())
    assert (again.columns, again.likelihood) == (table.columns, table.likelihood)


def test_means_come_back_as_the_likeliest_category_and_whole_numbers_stay_whole(small):
    table = Table.learn(read_columns(small), "small")
    row = np.array([[0.1, 0.1, 0, 0, 0.4, 0.6, 0.7, 0.3]], np.float32)
    back = table.cells(row)
    assert back["age"] == [3]
    assert back["income"][0] == pytest.approx(27 + 0.1 * np.std([10.5, 30.5, 40]), rel=1e-6)
    assert (back["sex"][0], back["=id"][0]) == ("m", "x")


def test_frames_mappings_and_files_give_the_same_rows(small, tmp_path):
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.read_csv(small)
    rows = load_data(small).train
    assert (load_data(frame).train == rows).all()
    assert (load_data({name: frame[name] for name in frame}).train == rows).all()
    typed = frame.astype({"age": "Int64", "sex": "category"})
    assert (load_data(typed).train == rows).all()
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    frame.to_parquet(tmp_path / "small.parquet")
    assert (load_data(tmp_path / "small.parquet").train == rows).all()


def test_other_ways_of_writing_a_csv(tmp_path):
    def read(text):
        return {k: v.tolist() for k, v in read_columns(written(tmp_path / "t.csv", text)).items()}

    assert read("a;b\n1;x\n2;y\n") == {"a": [1, 2], "b": ["x", "y"]}
    assert read("\ufeffa\tb\r\n1\tx\r\n\r\n2\ty") == {"a": [1, 2], "b": ["x", "y"]}
    assert read('a, b\n1, "x, y"\n') == {"a": [1], "b": ["x, y"]}
    assert read("1,2\n3,4\n") == {"1": [1, 3], "2": [2, 4]}  # no names
    assert read(",a\n0,7\n1,8\n") == {"a": [7, 8]}  # a spreadsheet's numbering
    assert read("a,b\nNA,n/a\n1,x\n")["b"] == [None, "x"]


def test_what_a_spreadsheet_would_run_is_quoted(tmp_path):
    texts = ["=1+1", "+a", "-a", "@a", "-5", "'plain", "é\n"]
    write_csv(tmp_path / "o.csv", {"=n": np.array(texts, object), "x": -np.arange(7.0)})
    rows = list(csv.reader((tmp_path / "o.csv").open(newline="")))
    assert [row[0] for row in rows] == ["'=n", "'=1+1", "'+a", "'-a", "'@a", "-5", "'plain", "é\n"]
    assert [row[1] for row in rows][1:] == ["0", "-1", "-2", "-3", "-4", "-5", "-6"]
    back = read_columns(tmp_path / "o.csv")
    assert back["=n"].tolist() == [*texts[:-1], "é"]


# --- what cannot be ------------------------------------------------------------------------------

BAD = {
    "a,b\n1,2\n": "has a single row",
    "a,b\n1,2\n1,3\n": "column 'a' with one value alone, or none: leave out",
    "a,b\nx,2\nx,3\n": "column 'a' with one value alone",
    "a,b\n,2\n,3\n": "column 'a' with one value alone, or none",
    "a,b c\n,2\n,2\n": "columns 'a', 'b c' with one value alone, or none: leave out what says "
    "nothing (--drop a --drop 'b c')",
    "a,b\n1,2\n2,inf\n": "column 'b' is infinite in line 3",
    "a,b\n1,2\n2,-1e999\n": "column 'b' is infinite in line 3",
    "a,b\n1,2\n2,3\n3,oops\n": "column 'b' has the text 'oops' in line 4 where numbers belong",
    "a,b\n1,2\n2,3,4\n": "line 3: 3 cells, where the first line has 2",
    'a,b\n1,"2\n2,3\n': "line 3: unexpected end of data",
    "a,a\n1,2\n2,3\n": "two columns named 'a'",
    "a,,b\n1,2,3\n2,3,4\n": "column 2 has no name",
    "": "is empty",
    "a,b\n": "has no rows",
    b"a,b\n\xff,1\n": "is not text in UTF-8",
    "a;b\n1;2,5\n2;3,5\n3;1,000\n": "column 'b' has numbers with commas, such as 1,000",
    "a,b\n1,1e200\n2,-1e200\n": "column 'b' has numbers too large",
    "a,n\n" + "".join(f"{i},n{i}\n" for i in range(50)): "column 'n' has 50 different texts in 50",
    "a,n\n" + "".join(f"{i},n{i}\n" for i in range(1500)): "column 'n' has more than 1,000",
}


@pytest.mark.parametrize("text", BAD)
def test_what_cannot_be_a_table_is_said_in_one_line(text, tmp_path):
    written(tmp_path / "bad.csv", text)
    done = run("train", "--data", tmp_path / "bad.csv", "--out", tmp_path / "run", "--epochs", 1)
    assert done.exit_code == 1
    assert BAD[text] in done.output
    assert done.output.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["bad.csv"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c.pop("shoe"), "lacks the column 'shoe'"),
        (lambda c: c.update(extra=c["shoe"]), "has the column 'extra', which was not there"),
        (lambda c: c["size"].__setitem__(2, "XL"), "column 'size' has 'XL' in row 2"),
        (lambda c: c.update(shoe=c["size"]), "column 'shoe' has the text '[SML]' in line [0-9]+"),
        (lambda c: c["noise"].__setitem__(0, np.inf), "column 'noise' is infinite in line 2"),
    ],
)
def test_other_columns_than_those_trained_on(change, said, trained, tmp_path):
    columns = people(20, seed=1)
    change(columns)
    write_csv(tmp_path / "new.csv", columns)
    for command in ("anomalies", "impute"):
        out = tmp_path / "out.csv"
        done = run(command, trained / "run", "--data", tmp_path / "new.csv", "--out", out)
        assert done.exit_code == 1
        assert done.output.count("\n") == 1
        with pytest.raises(AssertionError, match=said):
            raise AssertionError(done.output)
        assert not out.exists()
    with pytest.raises(DataError):
        jobs.anomalies(trained / "run", columns)


def test_arguments_that_do_not_fit(small, tmp_path):
    rows = np.random.default_rng(0).normal(size=(9, 4))
    for source, options in (
        (small, {"scale": "standard"}),
        (rows, {"drop": ["a"], "scale": "standard"}),
        (rows, {"scale": "other"}),
    ):
        with pytest.raises(ArgumentError):
            load_data(source, **options)
    with pytest.raises(DataError, match="no column 'z': age, sex"):
        load_data(small, drop=["z"])
    with pytest.raises(DataError, match="--scale standard"):
        load_data(rows)
    rows[3, 2] = np.nan
    with pytest.raises(DataError, match="row 3, column 2 is nan"):
        load_data(rows, scale="standard")


CELLS = st.one_of(
    st.text(max_size=6),
    st.sampled_from(["", "NA", "inf", "1e400", "=1", "'=", '"', "1_0", "-0", "nan", "\x00", "١"]),
    st.floats().map(repr),
)


@given(st.lists(st.lists(CELLS, max_size=4), max_size=6), st.sampled_from(",;\t"))
@settings(max_examples=80, deadline=None)
def test_any_text_is_columns_or_a_line(rows, delimiter):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "fuzz.csv")
        text = "\n".join(delimiter.join(row) for row in rows)
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            columns = read_columns(path)
            table = Table.learn(columns, "fuzz")
            x = table.rows(columns, "fuzz")
        except DataError as error:
            assert str(error).isprintable()
            return
        assert np.isfinite(x).all()
        assert not Likelihood(table.width, columns=_sizes(table)).outside(x).any()
        write_csv(path, table.cells(x))
        again = parse(table.text())
        cells = read_columns(path, again.kinds())
        np.testing.assert_allclose(again.rows(cells, "again"), x, atol=1e-4)


def _sizes(table):
    return (len(table.numbers), *(len(column.categories) for column in table.groups))


# --- the likelihood ------------------------------------------------------------------------------


def test_a_table_is_the_sum_of_its_parts():
    """Complete rows: Gaussians and categories; a hole takes its own term away and nothing else."""
    rng = np.random.default_rng(0)
    n, groups = 3, (3, 2)
    part = Likelihood(11, columns=(n, *groups), dtype="float64")
    numbers, categories = FeatureGaussian(n, dtype="float64"), Categorical(5, groups=groups)
    part.params["raw"][...] = numbers.params["raw"][...] = rng.normal(size=n)
    eta, x = rng.normal(size=(2, 4, 11))
    x[:, 3:6], x[:, 6:] = 0, np.eye(5)[[0, 1, 2, 0]] + np.eye(5)[[3, 4, 3, 4]]
    whole = part.forward(eta, x).copy()
    each = part.each(eta, x).copy()
    expected = numbers.forward(eta[:, :3], x[:, :3]) + categories.forward(eta[:, 6:], x[:, 6:])
    np.testing.assert_allclose(whole, expected, rtol=1e-12)
    x[:, 1], x[:, 4] = 0, 1
    np.testing.assert_allclose(part.forward(eta, x), whole - each[:, 1], rtol=1e-12)
    x[:, 6:9] = 0
    np.testing.assert_allclose(part.forward(eta, x), whole - each[:, 1] - each[:, 3], rtol=1e-12)
    deta = part.backward(np.ones(4))
    assert (deta[:, [1, 3, 4, 5, 6, 7, 8]] == 0).all()
    assert (deta[:, [0, 2, 9, 10]] != 0).all()
    assert part.grads["raw"][1] == 0


@pytest.mark.parametrize("columns", [(0, 3, 2), (2,)])
def test_tables_of_categories_alone_and_of_numbers_alone(columns):
    vae = VAE(Likelihood.width_of(columns), (4,), 2, likelihood=spec(columns), dtype="float64")
    x = np.zeros((5, vae.pixels))
    if columns[0] == 0:
        x[:, 0] = x[:, 4] = 1
    terms = vae.step(x, np.zeros((5, 2)))
    assert np.isfinite(terms.loss) and np.isfinite(vae.grad).all()
    assert vae.likelihood.sample(vae.decoder.forward(np.zeros((3, 2))), np.random).shape[0] == 3


def spec(columns):
    return f"table:{','.join(map(str, columns))}"


@pytest.mark.parametrize("columns", [(), (2, 1), (-1, 2), (1, 2)])
def test_columns_that_make_no_row_are_refused(columns):
    with pytest.raises(ArgumentError, match="table:3,4,2"):
        Likelihood(9, columns=columns)


def test_what_was_never_missing_in_training_is_taken_for_its_mean():
    vae = VAE(4, (3,), 2, likelihood="table:2", dtype="float64")
    whole, hole = np.array([[0.5, 0, 0, 0]]), np.array([[0.5, 0, 0, 1]])
    np.testing.assert_array_equal(vae.encode(whole)[0], vae.encode(hole)[0])


# --- jobs ----------------------------------------------------------------------------------------


def test_what_is_read_is_not_written_over(trained, tmp_path):
    data, calls = (
        tmp_path / "mine.csv",
        [["sample", trained / "run", "--out", trained / "people.csv"]],
    )
    data.write_bytes((trained / "people.csv").read_bytes())
    for name in ("anomalies", "impute"):
        calls.append([name, trained / "run", "--data", data, "--drop", "id", "--out", data])
    calls.append(["similar", trained / "run", "--data", data, "--row", 1, "--out", data])
    calls.append(["sample", trained / "run", "--out", trained / "run" / "checkpoint.npz"])
    files = [call[-1] for call in calls]
    before = [file.read_bytes() for file in files]
    for call in calls:
        done = run(*call)
        assert done.exit_code == 1 and "name another file with --out" in done.output, call
        assert len(done.output.splitlines()) == 1
    assert [file.read_bytes() for file in files] == before


def test_a_hole_among_texts_of_a_list_stays_one():
    data = load_data({"a": np.arange(30.0), "b": ["m", "f", float("nan")] * 10})
    assert data.units.likelihood == "table:1,2"


def test_counts_are_taken_as_they_are(tmp_path):
    counts = np.random.default_rng(0).poisson(3, (80, 6))
    np.save(tmp_path / "counts.npy", counts)
    call = ("train", "--data", tmp_path / "counts.npy", "--epochs", 1, "--hidden", "8")
    done = run(*call, "--out", tmp_path / "run")
    assert done.exit_code == 1 and "none for counts" in done.output
    done = run(*call, "--scale", "none", "--out", tmp_path / "run")
    assert done.exit_code == 0, done.output
    assert Run(tmp_path / "run").model.likelihood.kind == "poisson"
    units = load_data(counts - 1, scale="none").units
    assert units.likelihood == "gaussian"  # a number below 0 is no count
    assert (units.rows(counts - 1, "") == counts - 1).all()


def test_commas_may_be_texts(tmp_path):
    written(tmp_path / "t.csv", "a;b\n" + "1;2,5\n2;3,5\n" * 9)
    assert load_data(tmp_path / "t.csv", category=["b"]).units.likelihood == "table:1,2"


def test_anomalies_are_told_with_the_columns_that_weigh_most(trained, tmp_path):
    columns = people(60, seed=2)
    columns["weight"][7] += 60
    columns["size"][8] = "L" if columns["height"][8] < 165 else "S"
    columns["shoe"][9] = np.nan
    columns["id"] = np.array([f"p{i}" for i in range(60)], object)
    write_csv(tmp_path / "new.csv", columns)
    out = tmp_path / "scores.csv"
    done = run("anomalies", trained / "run", "--data", tmp_path / "new.csv", "--out", out)
    assert done.exit_code == 0, done.output
    assert "0.95 quantile of 360 rows of the run's own data" in done.output
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == columns["id"].tolist()
    assert max(rows, key=lambda row: float(row["score"]))["row"] == "7"
    assert (rows[7]["column 1"], rows[7]["anomaly"]) == ("weight", "1")
    assert sum(row["anomaly"] == "1" for row in rows) < 20


def test_a_score_depends_on_its_row_alone_and_is_the_importance_bound(trained):
    columns = people(300, seed=3)
    found = jobs.anomalies(trained / "run", columns)
    turned = {name: column[::-1] for name, column in columns.items()}
    np.testing.assert_allclose(jobs.anomalies(trained / "run", turned).scores[::-1], found.scores,
                               rtol=1e-10)  # fmt: skip
    assert (abs(found.weights.mean(axis=0)) < 0.3).all()  # beside what a column adds usually
    last = {name: column[290:] for name, column in columns.items()}
    alone = jobs.anomalies(trained / "run", last)
    np.testing.assert_allclose(alone.scores, found.scores[290:], rtol=1e-10)
    assert alone.threshold == found.threshold  # which is the run's
    saved = checkpoint.read(trained / "run")
    bound = saved.vae.log_likelihood(saved.units.rows(columns, "new"), 100)
    assert -found.scores.mean() == pytest.approx(bound.mean(), abs=0.1)


def test_means_are_weighted_by_how_well_a_draw_explains_the_row():
    """By the definition; the variances are 1 at first, but for the floor's 6e-6."""
    vae = VAE(4, (5,), 2, likelihood="table:2", dtype="float64", seed=1)
    rng = np.random.default_rng(0)
    x, eps = np.hstack([3 * rng.normal(size=(3, 2)), np.zeros((3, 2))]), rng.normal(size=(7, 2))
    log_p, means = jobs.weighted(vae.twin(), x, eps, lambda eta, x: eta)
    mu, logvar = vae.encode(x)
    z = mu + np.exp(logvar / 2) * eps[:, None]
    eta = np.array([vae.decode(one) for one in z])[:, :, :2]
    log_w = -0.5 * ((x[:, :2] - eta) ** 2 + np.log(2 * np.pi)).sum(axis=2)
    log_w += -0.5 * (z**2).sum(axis=2) + 0.5 * (eps[:, None] ** 2 + logvar).sum(axis=2)
    w = np.exp(log_w) / np.exp(log_w).sum(axis=0)
    np.testing.assert_allclose(log_p, np.log(np.exp(log_w).mean(axis=0)), rtol=1e-4)
    np.testing.assert_allclose(means[:, :2], (w[:, :, None] * eta).sum(axis=0), rtol=1e-4)


def test_holes_are_filled_from_what_is_there(trained, tmp_path):
    truth = people(100, seed=4)
    columns = people(100, seed=4)
    columns["weight"][::2] = np.nan
    columns["size"][1::4] = None
    columns["shoe"][2] = np.nan  # never missing in training
    write_csv(tmp_path / "holes.csv", columns)
    out = tmp_path / "filled.csv"
    done = run("impute", trained / "run", "--data", tmp_path / "holes.csv", "--out", out)
    assert done.output == f"76 cells filled in {out}\n"
    filled = read_columns(out)
    for name, column in columns.items():
        there = np.array([one is not None and one == one for one in column.tolist()])
        assert (filled[name][there] == column[there]).all()
    error = filled["weight"] - truth["weight"]
    assert (error[::2] ** 2).mean() < 0.1 * truth["weight"].var()
    assert (filled["size"] == truth["size"])[1::4].mean() > 0.6  # by chance 0.38
    assert filled["shoe"][2] == round(filled["shoe"][2])


def test_samples_are_in_the_users_units(trained, tmp_path):
    for name in ("s.csv", "s.npz"):
        done = run("sample", trained / "run", "--n", 1000, "--out", tmp_path / name)
        assert done.exit_code == 0, done.output
    drawn, truth = read_columns(tmp_path / "s.csv"), people()
    assert list(drawn) == list(truth)
    for name in ("height", "weight", "shoe", "noise"):
        assert drawn[name].mean() == pytest.approx(truth[name].mean(), abs=0.3 * truth[name].std())
        assert drawn[name].std() == pytest.approx(truth[name].std(), rel=0.3)
    assert set(drawn["size"]) == {"S", "M", "L"}
    assert (drawn["shoe"] == np.rint(drawn["shoe"])).all()
    with np.load(tmp_path / "s.npz") as arrays:
        assert arrays["size"].tolist() == drawn["size"].tolist()
    done = run("sample", trained / "run", "--out", tmp_path / "s.png")
    assert "ends with .csv or .npz" in done.output
    assert not (tmp_path / "s.png").exists()


def test_scores_take_one_thread_for_their_small_products():
    """More wait for each other on a busy machine: seventy times as slow was seen."""
    seen = []
    look = lambda eta, x: seen.extend(threadpool_info()) or eta  # noqa: E731
    jobs.weighted(VAE(6, (4,), 2, dtype="float64"), np.zeros((3, 6)), np.zeros((1, 2)), look)
    assert {pool["num_threads"] for pool in seen if pool["user_api"] == "blas"} == {1}


def test_neighbours_walks_and_reconstructions(trained, tmp_path):
    columns = people(50, seed=5)
    saved = checkpoint.read(trained / "run")
    numbers, distances, rows = jobs.similar(saved, columns, 4, 3)
    mu, _ = saved.vae.encode(saved.units.rows(columns, "new"))
    far = np.linalg.norm(mu - mu[4], axis=1)
    assert numbers.tolist() == np.argsort(far)[1:4].tolist()
    np.testing.assert_allclose(distances, np.sort(far)[1:4], rtol=1e-6)
    assert rows["height"].tolist() == columns["height"][[4, *numbers]].tolist()
    with pytest.raises(ArgumentError, match="no row 50: they are 0 to 49"):
        jobs.similar(saved, columns, 50)
    images = np.random.default_rng(0).integers(0, 256, (9, 36)).astype(np.uint8)
    model = checkpoint.Checkpoint(VAE(36, (4,), 2), {}, None)
    numbers, _, rows = jobs.similar(model, images, 2, 4)
    np.testing.assert_allclose(rows, images[[2, *numbers]] / 255, rtol=1e-6)
    mu, _ = model.vae.encode(images)
    rows = jobs.combine(model, images, (2, 5), (7,))
    np.testing.assert_allclose(
        rows, model.vae.decode(np.array([mu[2], mu[5], mu[7], mu[2] + mu[5] - mu[7]])), rtol=1e-6
    )
    with pytest.raises(ArgumentError, match="no row 9: they are 0 to 8"):
        jobs.combine(model, images, (0,), (9,))
    with pytest.raises(ArgumentError, match="plus and minus are rows' whole numbers"):
        jobs.combine(model, images, [1.5])
    terms = "--plus", 1, "--minus", 3, "--plus", 8
    write_csv(tmp_path / "new.csv", columns)
    done = run(
        *("combine", trained / "run", "--data", tmp_path / "new.csv", *terms),
        *("--out", tmp_path / "sum.csv"),
    )
    assert done.exit_code == 0 and "rows 1 + 8 - 3, and" in done.output, done.output
    found = read_columns(tmp_path / "sum.csv", saved.units.kinds())
    expected = jobs.combine(saved, columns, (1, 8), (3,))
    np.testing.assert_allclose(found["height"], expected["height"], rtol=1e-6)
    told = json.loads(run("evaluate", trained / "run", "--json").stdout)
    assert [told["unit"], told["images"]] == ["nats per row", 40]
    out = tmp_path / "walk.csv"
    done = run("interpolate", trained / "run", "--from", 0, "--to", 5, "-n", 6, "--out", out)
    assert done.exit_code == 0, done.output
    test = saved.units.cells(load_data(trained / "people.csv", units=saved.units).test)
    walk = read_columns(out, saved.units.kinds())
    assert [len(walk["height"]), walk["height"][0], walk["height"][-1]] == [
        *(8, test["height"][0], test["height"][5]),
    ]
    out = tmp_path / "r.csv"
    assert run("reconstruct", trained / "run", "--out", out).exit_code == 0
    error = read_columns(out)["height"] - test["height"][:32]
    assert error.std() < 0.5 * test["height"].std()


def test_a_run_goes_on_with_its_table(trained, tmp_path):
    options = ("--data", trained / "people.csv", "--drop", "id", "--hidden", 4, "--threads", 1)
    for name, steps in (("one", (2,)), ("two", (1, 2))):
        assert run("train", *options, "--out", tmp_path / name, "--epochs", steps[0]).exit_code == 0
        for epochs in steps[1:]:
            done = run("train", "--resume", "--out", tmp_path / name, "--epochs", epochs)
            assert done.exit_code == 0, done.output
    one, two = (checkpoint.read(tmp_path / name) for name in ("one", "two"))
    assert one.vae.theta.tobytes() == two.vae.theta.tobytes()
    assert one.units.text() == two.units.text()
    history = minivae.Run(tmp_path / "two").history
    assert repr(history).endswith("nats per row>") and "nats per row" in history._repr_html_()
    left, right = history.plot().axes
    assert left.get_ylabel() == "loss (nats per row)" and right.get_ylabel() == "nats per row"
    assert "those that it was trained on" in run("check", tmp_path / "two").output
    done = run("explore", trained / "run", "--out", tmp_path / "e.html")
    assert "has no pictures" in done.output


@pytest.mark.parametrize(
    "said",
    [
        *('{"table": []}', '{"table": 3, "dropped": []}', "[", "{}", "[" * 10_000),
        '{"table": [["a", [], 0, 0, false]], "dropped": []}',
        '{"table": [["a", ["x"], 0, 1, false]], "dropped": []}',
        '{"table": [["a", [], 0, 1, false]], "dropped": []}',  # of another width
        '{"scale": [[0], [1, 2], 0, 1, "gaussian"]}',
    ],
)
def test_units_in_a_checkpoint_are_not_believed(said, trained, tmp_path):
    config, arrays = sealed.read(trained / "run" / "checkpoint.npz")
    arrays["units"] = np.frombuffer(said.encode(), np.uint8)
    sealed.write(tmp_path / "c.npz", config, arrays)
    with pytest.raises(CheckpointError, match="is not a minivae checkpoint"):
        checkpoint.read(tmp_path / "c.npz")


# --- arrays of any range -------------------------------------------------------------------------


def test_arrays_are_scaled_column_by_column_and_pictures_as_one():
    rng = np.random.default_rng(0)
    rows = rng.normal([5, -100, 3], [0.1, 50, 0], (40, 3))
    found = Scale.learn(rows, "standard", "rows", together=False)
    x = found.rows(rows, "rows")
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(x.std(axis=0), [1, 1, 0], atol=1e-6)
    np.testing.assert_allclose(found.cells(x), rows, rtol=1e-5, atol=1e-4)
    pictures = load_data(rng.normal(900, 30, (40, 4, 4)), scale="minmax")
    assert pictures.image_shape == (4, 4)
    both = np.concatenate([pictures.train, pictures.test])
    assert (both.min(), both.max()) == (0, 1)
    assert len(set(pictures.units.factor.tolist())) == 1
    assert parse(pictures.units.text()).text() == pictures.units.text()


def test_an_array_with_labels_is_a_data_set():
    images = np.random.default_rng(0).integers(0, 256, (20, 3, 3)).astype(np.uint8)
    data = load_data(images, labels=np.arange(20))
    assert (data.train[:3] == images.reshape(20, 9)[data.train_labels[:3]]).all()
    assert data.image_shape == (3, 3)
    vae = VAE(9, (4,), 2)
    (record,) = train(vae, images, epochs=1)  # as it is
    assert record.test_loss == next(train(VAE(9, (4,), 2), data, epochs=1)).test_loss


def test_a_run_of_scaled_pictures(tmp_path):
    x = np.random.default_rng(0).normal(900, 30, (60, 4, 4))
    np.save(tmp_path / "x.npy", x)
    common = ("--data", tmp_path / "x.npy", "--out", tmp_path / "run", "--hidden", 8)
    done = run("train", *common, "--latent", 2, "--epochs", 2, "--scale", "standard")
    assert done.exit_code == 0, done.output
    assert checkpoint.read(tmp_path / "run").vae.likelihood.kind == "gaussian"
    assert run("sample", tmp_path / "run", "--out", tmp_path / "s.npz").exit_code == 0
    with np.load(tmp_path / "s.npz") as arrays:
        assert 850 < arrays["x"].mean() < 950
    for command in ("sample", "reconstruct", "interpolate", "traverse --all", "manifold"):
        name, *options = command.split()
        done = run(name, tmp_path / "run", *options, "--out", tmp_path / "p.png")
        assert done.exit_code == 0, done.output
    done = run("anomalies", tmp_path / "run", "--data", tmp_path / "x.npy", "--out",
               tmp_path / "s.csv")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert len((tmp_path / "s.csv").read_text().splitlines()) == 61
