"""kernels.cu compiled to machine code for real devices, by NVRTC, which needs no device itself.

What the code then does on one is not seen here.
"""

import importlib

import pytest

from minivae.cuda.device import SOURCE


@pytest.fixture(scope="module")
def nvrtc():
    try:
        nvrtc = importlib.import_module("cuda.bindings.nvrtc")
        error, *_ = nvrtc.nvrtcVersion()
    except (ImportError, RuntimeError) as missing:
        pytest.skip(f'NVRTC is not installed ({missing}): pip install "minivae[cuda-test]"')
    assert error == nvrtc.nvrtcResult.NVRTC_SUCCESS
    return nvrtc


@pytest.mark.parametrize(
    "architecture, real",
    [("sm_75", "float"), ("sm_80", "float"), ("sm_80", "double"), ("sm_90", "float"),
     ("sm_100", "float")],
)  # fmt: skip
def test_kernels_compile_to_machine_code(nvrtc, architecture, real):
    success = nvrtc.nvrtcResult.NVRTC_SUCCESS
    error, program = nvrtc.nvrtcCreateProgram(SOURCE.read_bytes(), b"kernels.cu", 0, [], [])
    assert error == success
    options = [f"-arch={architecture}".encode(), f"-DREAL={real}".encode()]
    (result,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
    _, size = nvrtc.nvrtcGetProgramLogSize(program)
    log = b" " * max(2, size)  # Python shares its one-byte strings: never write into one
    nvrtc.nvrtcGetProgramLog(program, log)
    assert result == success, log.decode()
    assert not log.strip(b"\0 \n"), log.decode()  # no warning either
    _, size = nvrtc.nvrtcGetCUBINSize(program)
    code = b" " * size
    nvrtc.nvrtcGetCUBIN(program, code)
    assert code[:4] == b"\x7fELF" and b"product_8" in code and b"bernoulli_nll" in code
