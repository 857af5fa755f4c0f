"""What a user reads when the cupy backend cannot be had, cause by cause; nothing needs CuPy."""

import json
import sys
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from minivae.backend import get_backend
from minivae.cli import main
from minivae.cuda import detect, device
from minivae.errors import BackendError


class CUDARuntimeError(RuntimeError):
    def __init__(self, status, text="cudaErrorSomething: of the driver"):
        super().__init__(text)
        self.status = status


class OutOfMemoryError(MemoryError):
    pass


def fake_cupy(count=1, driver=13000, error=None, kernel=None, add=1.0):
    """Return what detect.py asks of CuPy; `error` is raised by the count, `kernel` by a launch."""

    def get_device_count():
        if error is not None:
            raise error
        return count

    def launch(grid, block, arguments):
        if kernel is not None:
            raise kernel
        arguments[0][0] += add

    class Device:
        def __init__(self, index):
            self.index = index

        def use(self):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

    runtime = SimpleNamespace(
        CUDARuntimeError=CUDARuntimeError,
        getDeviceCount=get_device_count,
        driverGetVersion=lambda: driver,
        runtimeGetVersion=lambda: 13000,
        memGetInfo=lambda: (3 << 30, 8 << 30),
        getDeviceProperties=lambda i: {"name": b"A GPU", "major": 8, "minor": 6},
    )
    memory = SimpleNamespace(OutOfMemoryError=OutOfMemoryError)
    return SimpleNamespace(
        __version__="14.2.0",
        cuda=SimpleNamespace(runtime=runtime, Device=Device, memory=memory),
        zeros=lambda n, dtype: [0.0] * n,
        RawKernel=lambda code, name: launch,
    )


@pytest.fixture
def cupy(monkeypatch):
    """Install a fake CuPy."""

    def install(packages=("cupy-cuda13x",), **behaviour):
        monkeypatch.setattr(detect, "installed_packages", lambda: list(packages))
        monkeypatch.setitem(sys.modules, "cupy", fake_cupy(**behaviour))
        monkeypatch.setattr(device, "_open", {})

    return install


CAUSES = {
    "twice": ({"packages": ("cupy-cuda12x", "cupy-cuda13x")}, ["pip uninstall cupy-cuda12x"]),
    "no driver": ({"error": CUDARuntimeError(35), "driver": 0}, ["no NVIDIA driver"]),
    "old driver": (
        {"error": CUDARuntimeError(35), "driver": 12020}, ["CUDA 12.2", "CUDA 13.0", "too old"]
    ),
    "no device": ({"error": CUDARuntimeError(100)}, ["CUDA_VISIBLE_DEVICES"]),
    "none": ({"count": 0}, ["sees no GPU"]),
    "driver ill": ({"error": CUDARuntimeError(999)}, ["nvidia-smi", "cudaErrorSomething"]),
    "no NVRTC": ({"kernel": RuntimeError("nvrtc:\n not found")}, ["nvrtc: not found", "[cuda12]"]),
    "memory": ({"kernel": OutOfMemoryError("Out of memory")}, ["--batch-size", "--device"]),
    "wrong": ({"add": 3.0}, ["0 + 1 = 3.0"]),
}  # fmt: skip


@pytest.mark.parametrize("cause", CAUSES)
def test_each_cause_has_its_own_line(cupy, cause):
    behaviour, words = CAUSES[cause]
    cupy(**behaviour)
    with pytest.raises(BackendError) as raised:
        get_backend("cupy")
    line = str(raised.value)
    assert "\n" not in line and all(word in line for word in words), line


@pytest.mark.parametrize("index, count", [(1, 1), (2, 2), (9, 4)])
def test_a_device_that_is_not_there(cupy, index, count):
    cupy(count=count)
    with pytest.raises(BackendError, match=f"no device {index}: .*--device 0"):
        get_backend("cupy", device=index)


@pytest.mark.parametrize(
    "error, words",
    [
        (ModuleNotFoundError("No module named 'cupy'", name="cupy"), "is not installed: pip"),
        (ModuleNotFoundError("No module named 'fastrlock'", name="fastrlock"), "fastrlock"),
        (OSError("libstdc++.so.6:\n version GLIBCXX_3.4.99 not found"), "GLIBCXX_3.4.99"),
    ],
)
def test_a_cupy_that_cannot_be_imported(monkeypatch, error, words):
    def fail(name):
        raise error

    monkeypatch.setattr(detect, "installed_packages", list)
    monkeypatch.setattr(detect.importlib, "import_module", fail)
    with pytest.raises(BackendError) as raised:
        get_backend("cupy")
    line = str(raised.value)
    assert words in line and 'pip install "minivae[cuda13]"' in line and "\n" not in line
    assert detect.describe() == {"available": False, "reason": line}


def test_installed_packages_are_counted_by_name(monkeypatch):
    names = ["CuPy-CUDA12x", "cupy", "cupy-xarray", "numpy", None]
    found = [SimpleNamespace(metadata={"Name": name}) for name in names]
    monkeypatch.setattr(detect.metadata, "distributions", lambda: found)
    assert detect.installed_packages() == ["cupy", "cupy-cuda12x"]


def test_info_shows_versions_device_and_memory(cupy):
    cupy(count=2)
    result = CliRunner().invoke(main, ["info"])
    assert result.exit_code == 0
    assert "14.2.0, CUDA 13.0, driver for 13.0" in result.stdout
    assert "A GPU, compute capability 8.6, 3.0 GiB of 8.0 GiB free" in result.stdout
    shown = json.loads(CliRunner().invoke(main, ["info", "--json"]).stdout)["cupy"]
    assert shown["available"] and [d["device"] for d in shown["devices"]] == [0, 1]


def test_info_says_why_not(cupy):
    cupy(error=CUDARuntimeError(35), driver=0)
    result = CliRunner().invoke(main, ["info"])
    assert result.exit_code == 0 and "not available: no NVIDIA driver" in result.stdout
    shown = json.loads(CliRunner().invoke(main, ["info", "--json"]).stdout)["cupy"]
    assert shown["available"] is False and shown["version"] == "14.2.0"


@pytest.mark.parametrize("packages", [(), ("cupy", "cupy-cuda12x")])
def test_the_command_line_prints_one_line_and_writes_nothing(cupy, tmp_path, packages):
    cupy(packages=packages, error=CUDARuntimeError(35), driver=0)
    out = tmp_path / "run"
    arguments = ["train", "--backend", "cupy", "--epochs", "1", "--out", str(out)]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 1 and result.stdout == ""
    assert result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments, status",
    [(["--device", "1"], 2), (["--precision", "tf32"], 1), (["--precision", "half"], 2)],
)
def test_options_of_the_gpu_without_one(tmp_path, arguments, status):
    out = tmp_path / "run"
    result = CliRunner().invoke(main, ["train", "--out", str(out), *arguments])
    assert result.exit_code == status and "Traceback" not in result.output and not out.exists()


def test_out_of_memory_in_the_middle_is_one_line(cupy):
    cupy()

    def full(*_):
        raise OutOfMemoryError("Out of memory allocating 1,000 bytes\n(allocated so far: 0)")

    library = fake_cupy()
    library.cuda.Stream = lambda non_blocking: None
    library.empty = library.asarray = full
    ours = device.Device(library, 0)
    for ask in (ours.empty, ours.zeros, ours.asarray):
        with pytest.raises(BackendError, match=r"out of device memory .*smaller --batch-size"):
            ask((5,), "float32")
