"""The import graph: a module imports only those above it, and heavy ones only where they belong."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import minivae

ROOT = Path(minivae.__file__).parent

# From the top down: each may import those before it, whether at its head or inside a function.
# A package (cli, cuda) counts as one module.
ORDER = """
    errors formulas params noise
    files lock arrayfile idx images transfer download sources pixels
    parallel steps cuda backend layers vae optim gradcheck
    data watch training sealed claims checkpoint rundir snapshots
    latent trace plots explore exercises
    cli
""".split()  # noqa: SIM905
ALONE = {"errors", "formulas", "params", "noise"}  # they import nothing of ours

# Who may import what from outside; the standard library and NumPy are for everybody.
OUTSIDE = {
    "cupy": {"backend", "cuda"},
    "cupyx": {"backend", "cuda"},
    "cuda": {"cuda"},  # NVIDIA's own small package, which comes with CuPy
    "matplotlib": {"plots"},
    "click": {"cli"},
    "PIL": {"images"},
    "threadpoolctl": {"parallel", "gradcheck", "cli"},
}


def modules():
    """Return {name: {imported dotted name: line}} of all modules below minivae."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts in (("__init__",), ("__main__",)):  # the package's face imports lazily, by name
            continue
        imports = found.setdefault(parts[0], {})
        package = ["minivae", *parts[:-1]]
        for node in ast.walk(ast.parse(path.read_text())):
            where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import):
                imports |= {alias.name: where for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                base = package[: len(package) - node.level + 1] if node.level else []
                source = ".".join([*base, *([node.module] if node.module else [])])
                if source == "minivae":  # from minivae import formulas
                    imports |= {f"minivae.{alias.name}": where for alias in node.names}
                else:
                    imports[source] = where
    return found


MODULES = modules()


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


def test_the_reading_of_imports_sees_them():
    """Guards the tests above: an import that is known to be there must be found."""
    assert {"formulas", "errors", "parallel"} <= set(ours("backend"))  # absolute
    assert "errors" in ours("idx")  # relative
    assert "click" in MODULES["cli"]
    assert "cli" in ours("cli")
    assert "PIL" in MODULES["images"]  # inside a function


HEAVY = ("numpy", "matplotlib", "cupy", "PIL", "threadpoolctl")


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
