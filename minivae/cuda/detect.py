"""Whether this machine can run CuPy, and what to do if it cannot.

Each cause has a line of its own; nothing is kept here, and no array is made but the probe's.
"""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import Any

from minivae.errors import BackendError

INSTALL = (
    'pip install "minivae[cuda13]" (NVIDIA driver 580 or newer) or "minivae[cuda12]" (525 or newer)'
)
INSUFFICIENT_DRIVER, NO_DEVICE = 35, 100  # cudaError_t


def installed_packages() -> list[str]:
    """Return the names of the installed CuPy packages; more than one break each other."""
    names = {(found.metadata["Name"] or "").lower() for found in metadata.distributions()}
    return sorted(n for n in names if n == "cupy" or n.startswith(("cupy-cuda", "cupy-rocm")))


def import_cupy() -> Any:
    """Return the module cupy.

    Raises
    ------
    BackendError
        If it is not installed, installed twice, or broken.
    """
    packages = installed_packages()
    if len(packages) > 1:
        raise BackendError(
            f"{len(packages)} CuPy packages are installed ({', '.join(packages)}) and break each "
            f"other: pip uninstall {' '.join(packages)}, then {INSTALL}"
        )
    try:
        return importlib.import_module("cupy")
    except ModuleNotFoundError as error:
        if error.name != "cupy":
            raise BackendError(
                f"CuPy cannot be imported ({one_line(error)}): install it anew, {INSTALL}"
            ) from error
        raise BackendError(f"the cupy backend needs CuPy, which is not installed: {INSTALL}") from (
            error
        )
    except Exception as error:  # a broken installation may raise anything
        raise BackendError(
            f"CuPy cannot be imported ({one_line(error)}): install it anew, {INSTALL}"
        ) from error


def count_devices(cupy: Any) -> int:
    """Return how many devices there are, at least 1.

    Raises
    ------
    BackendError
        If there is no driver, one too old for the installed CuPy, or no device.
    """
    runtime = cupy.cuda.runtime
    try:
        count = runtime.getDeviceCount()
    except runtime.CUDARuntimeError as error:
        if error.status == INSUFFICIENT_DRIVER:
            driver = _version(runtime.driverGetVersion)
            if driver == "none":
                raise BackendError(
                    "no NVIDIA driver was found: install one (nvidia-smi must list the GPU), or "
                    "use --backend numpy"
                ) from error
            raise BackendError(
                f"the NVIDIA driver (for CUDA {driver}) is too old for the installed CuPy (built "
                f"for CUDA {_version(runtime.runtimeGetVersion)}): update the driver, or install "
                f"the other CuPy, {INSTALL}"
            ) from error
        if error.status != NO_DEVICE:
            raise BackendError(
                f"the CUDA driver does not answer ({one_line(error)}): see that nvidia-smi lists "
                "the GPU, or use --backend numpy"
            ) from error
        count = 0
    if count < 1:
        raise BackendError(
            "the NVIDIA driver sees no GPU: see nvidia-smi and CUDA_VISIBLE_DEVICES, or use "
            "--backend numpy"
        )
    return count


def check_device(cupy: Any, index: int) -> None:
    """Make that device the current one and run one kernel on it.

    Raises
    ------
    BackendError
        If there is no such device, or it cannot compile and run a kernel.
    """
    count = count_devices(cupy)
    if not 0 <= index < count:
        numbers = "0" if count == 1 else f"0 to {count - 1}"
        raise BackendError(f"there is no device {index}: this machine has --device {numbers}")
    try:
        cupy.cuda.Device(index).use()
        one = cupy.zeros(1, "float32")
        kernel = cupy.RawKernel(
            'extern "C" __global__ void probe(float *x) { x[0] += 1; }', "probe"
        )
        kernel((1,), (1,), (one,))
        answer = float(one[0])
    except cupy.cuda.memory.OutOfMemoryError as error:
        raise out_of_memory(error) from error
    except Exception as error:  # NVRTC missing, headers missing, a device too new or too old
        raise BackendError(
            f"CuPy cannot run a kernel on device {index} ({one_line(error)}): the packages of "
            f"{INSTALL} bring the CUDA libraries it needs"
        ) from error
    if answer != 1:
        raise BackendError(f"device {index} computes 0 + 1 = {answer}: see nvidia-smi")


def out_of_memory(error: BaseException) -> BackendError:
    """Return the error to raise when the device's memory is full."""
    return BackendError(
        f"out of device memory ({one_line(error)}): use a smaller --batch-size or model, free the "
        "GPU (nvidia-smi shows who uses it), or choose another with --device"
    )


def describe() -> dict[str, Any]:
    """Return what `minivae info` shows of CuPy: versions, devices and memory, or why not."""
    facts: dict[str, Any] = {}
    try:
        cupy = import_cupy()
        facts["version"] = cupy.__version__
        count = count_devices(cupy)
    except BackendError as error:
        return {"available": False, **facts, "reason": str(error)}
    runtime = cupy.cuda.runtime
    facts |= {
        "cuda runtime": _version(runtime.runtimeGetVersion),
        "cuda driver": _version(runtime.driverGetVersion),
    }
    devices = []
    try:
        for index in range(count):
            found = runtime.getDeviceProperties(index)
            with cupy.cuda.Device(index):
                free, total = runtime.memGetInfo()
            devices.append(
                {
                    "device": index,
                    "name": found["name"].decode(errors="replace"),
                    "compute capability": f"{found['major']}.{found['minor']}",
                    "memory free": f"{free / 2**30:.1f} GiB",
                    "memory": f"{total / 2**30:.1f} GiB",
                }
            )
    except Exception as error:  # whatever the driver says: info must not fail
        return {"available": False, **facts, "reason": one_line(error)}
    return {"available": True, **facts, "devices": devices}


def one_line(error: BaseException) -> str:
    """Return an error's text, or its name, on one line of bounded length."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."


def _version(ask: Any) -> str:
    """Return "13.0" for 13000, "none" for 0 or no answer."""
    try:
        number = ask()
    except Exception:
        return "none"
    return f"{number // 1000}.{number % 1000 // 10}" if number else "none"
