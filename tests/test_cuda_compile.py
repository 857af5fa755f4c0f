"""kernels.cu compiled to machine code for real devices, by NVRTC or nvcc, which need no device.

What the code then does on one is not seen here, but that it fits: its registers, what had to go to
the stack, its shared memory.
"""

import importlib
import re
import shutil
import subprocess

import pytest

from minivae.cuda.device import SOURCE

# What CuPy adds to our own options (cupy/cuda/compiler.py).
CUPY = ["-ftz=true", "--device-as-default-execution-space"]
REGISTERS, SHARED, STACK = 65536, 48 << 10, 64  # a multiprocessor's; a block's bytes; a thread's
THREADS = {"column_sums": 1024}  # of a block; others 256
RESIDENT = {"product_8": 2}  # blocks wanted on a multiprocessor
for name in ("product", "gradients", "bernoulli_product", "continuous_bernoulli_product"):
    RESIDENT |= {f"{name}_2": 4, f"{name}_4": 2}
PROPERTIES = re.compile(
    r"entry function '(\w+)'.*?(\d+) bytes stack frame.*?Used (\d+) registers(?:[^\n]*?(\d+) "
    r"bytes smem)?",
    re.DOTALL,
)


def compile_by_nvrtc(options):
    """Return machine code and what the assembler said; None if NVRTC is not installed."""
    try:
        nvrtc = importlib.import_module("cuda.bindings.nvrtc")
        nvrtc.nvrtcVersion()
    except (ImportError, RuntimeError):
        return None
    _, program = nvrtc.nvrtcCreateProgram(SOURCE.read_bytes(), b"kernels.cu", 0, [], [])
    options = [option.encode() for option in [*options, *CUPY, "--ptxas-options=-v"]]
    (result,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
    _, size = nvrtc.nvrtcGetProgramLogSize(program)
    log = b" " * max(2, size)  # Python shares its one-byte strings: never write into one
    nvrtc.nvrtcGetProgramLog(program, log)
    assert result == nvrtc.nvrtcResult.NVRTC_SUCCESS, log.decode()
    _, size = nvrtc.nvrtcGetCUBINSize(program)
    code = b" " * size
    nvrtc.nvrtcGetCUBIN(program, code)
    return code, log.decode()


def compile_by_nvcc(options, out):
    """As `compile_by_nvrtc`, without the option that only NVRTC knows."""
    if shutil.which("nvcc") is None:
        return None
    command = ["nvcc", "-std=c++17", "-cubin", "-Xptxas", "-v", CUPY[0], *options]
    ran = subprocess.run([*command, "-o", out, SOURCE], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return out.read_bytes(), ran.stderr


@pytest.mark.slow  # ten seconds for each
@pytest.mark.parametrize(
    "architecture, real",
    [
        ("sm_75", "float"), ("sm_80", "float"), ("sm_80", "double"), ("sm_90", "float"),
        ("sm_100", "float"),
    ],
)  # fmt: skip
def test_kernels_compile_and_fit(architecture, real, tmp_path):
    options = [f"-arch={architecture}", f"-DREAL={real}"]
    made = compile_by_nvrtc(options) or compile_by_nvcc(options, tmp_path / "kernels.cubin")
    if made is None:
        pytest.skip('neither NVRTC (pip install "minivae[cuda-test]") nor nvcc is installed')
    code, log = made
    assert "warning" not in log, log
    assert code[:4] == b"\x7fELF" and b"product_8" in code and b"bernoulli_nll" in code
    kernels = {name: [int(n or 0) for n in numbers] for name, *numbers in PROPERTIES.findall(log)}
    assert set(RESIDENT) | {"column_sums", "adam", "gather"} <= set(kernels)
    for name, (stack, registers, shared) in kernels.items():
        blocks = 1 if (name, real) == ("product_8", "double") else RESIDENT.get(name, 1)
        registers = -(-registers // 8) * 8  # as they are given out
        assert registers * THREADS.get(name, 256) * blocks <= REGISTERS, (name, registers)
        # The stack is slow memory: for what is spilled, or for an array that is not unrolled.
        assert shared <= SHARED and stack <= STACK, (name, shared, stack)
