"""The import graph: a module imports only those above it, and heavy ones only where they belong."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import minivae

ROOT = Path(minivae.__file__).parent

# From the top down: each may import those before it, at its head or inside a function.
# A wing (a folder) is one name here. `cuda` comes before `backend`, which opens it when it is
# asked for; `parts` and `networks` before `vae`, which is composed of them.
ORDER = """
    errors views onednn products inputs formulas params noise denormals cuda backend layers
    parts networks vae optim gradcheck storage data looking training runs jobs exporting teaching
    estimator cli
""".split()  # noqa: SIM905
ALONE = {"errors", "params", "noise", "denormals"}  # they import nothing of ours

# Who may import what from outside; the standard library and NumPy are for everybody.
OUTSIDE = {
    "cupy": {"backend", "cuda"},
    "cupyx": {"backend", "cuda"},
    "cuda": {"cuda"},  # NVIDIA's own small package, which comes with CuPy
    "matplotlib": {"looking", "teaching"},
    "click": {"cli"},
    "sklearn": {"estimator"},
    "mpi4py": {"training"},
    "PIL": {"data", "teaching"},
    "pyarrow": {"data"},
    "pytest": {"gradcheck"},
    "hypothesis": {"gradcheck"},
    "torch": {"gradcheck", "exporting"},
    "onnx": {"exporting"},
    "safetensors": {"exporting"},
    "tensorboard": {"runs"},
    "tqdm": {"training"},
    "jax": {"gradcheck"},
    "autograd": {"gradcheck"},
    "threadpoolctl": {"training", "gradcheck", "cli"},
}


def imports_of(path):
    """Return {imported dotted name: line} of one file."""
    found = {}
    package = ["minivae", *path.relative_to(ROOT).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text())):
        where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import):
            found |= {alias.name: where for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:  # from minivae.training import loop: a module or a name
                whole = f"{source}.{alias.name}"
                found[whole if module_file(whole) else source] = where
    return found


def module_file(name):
    """Return the file of one of our modules; None if the name is none."""
    path = ROOT.parent.joinpath(*name.split("."))
    places = path.with_suffix(".py"), path / "__init__.py"
    return next((place for place in places if name.startswith("minivae.") and place.exists()), None)


FILES = {
    path: imports_of(path)
    for path in sorted(ROOT.rglob("*.py"))
    if path.relative_to(ROOT).parts[0] not in ("__init__.py", "__main__.py")  # they import lazily
}
MODULES = {}
for _path, _imports in FILES.items():
    MODULES.setdefault(_path.relative_to(ROOT).with_suffix("").parts[0], {}).update(_imports)


def ours(name):
    """Return {module of ours: line} that this module imports."""
    return {
        imported.split(".")[1]: where
        for imported, where in MODULES[name].items()
        if imported.startswith("minivae.") and not imported.startswith("minivae.__")
    }


def test_every_module_stands_in_the_order():
    assert set(MODULES) <= set(ORDER), "add the new module to ORDER, below all that it imports"
    assert len(ORDER) == len(set(ORDER))


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_only_those_above_it(name):
    above = set() if name in ALONE else {*ORDER[: ORDER.index(name)]}
    if (ROOT / name).is_dir():
        above.add(name)
    wrong = {other: where for other, where in ours(name).items() if other not in above}
    assert not wrong, f"{name} may not import {wrong}"


@pytest.mark.parametrize("name", MODULES)
def test_libraries_are_imported_only_where_they_belong(name):
    allowed = {"numpy", "minivae", "__future__", *sys.stdlib_module_names}
    allowed |= {library for library, places in OUTSIDE.items() if name in places}
    wrong = {
        imported: where
        for imported, where in MODULES[name].items()
        if imported.split(".")[0] not in allowed
    }
    assert not wrong, f"{name} may not import {wrong}"


def test_no_module_imports_itself_by_way_of_others():
    graph = {
        path: {module_file(name): where for name, where in imports.items() if module_file(name)}
        for path, imports in FILES.items()
    }
    finished = set()

    def walk(path, way):
        assert path not in way, " -> ".join(str(p.relative_to(ROOT)) for p in (*way, path))
        if path not in finished:
            for other in graph.get(path, ()):
                if other.parent != path.parent or other.name != "__init__.py":
                    walk(other, (*way, path))
            finished.add(path)

    for path in graph:
        walk(path, ())


def test_the_reading_of_imports_sees_them():
    """Guards the tests above: an import that is known to be there must be found."""
    assert {"formulas", "errors", "cuda"} <= set(ours("backend"))
    assert "minivae.training.crew" in FILES[ROOT / "training" / "loop.py"]
    assert "click" in MODULES["cli"]
    assert "cli" in ours("cli")
    assert "PIL" in MODULES["data"]  # inside a function


HEAVY = ("numpy", "matplotlib", "cupy", "PIL", "threadpoolctl")
HEAVY += ("onnx", "safetensors", "tensorboard", "torch", "sklearn", "pandas", "tqdm", "mpi4py")


@pytest.mark.parametrize(
    "code",
    [
        "import minivae",
        *(
            f"from minivae.cli import main; main({arguments}, standalone_mode=False)"
            for arguments in (
                ["--help"],
                ["--version"],
                ["train", "--help"],
                ["evaluate", "--help"],
                ["sample", "--help"],
                ["encode", "--help"],
                ["info", "--help"],
                ["export", "--help"],
            )
        ),
    ],
)
def test_help_imports_nothing_heavy(code):
    code += "; import sys; print('loaded', *(n for n in sys.modules if '.' not in n))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.splitlines()[-1].split()
    assert loaded[0] == "loaded"
    assert not [name for name in HEAVY if name in loaded]
