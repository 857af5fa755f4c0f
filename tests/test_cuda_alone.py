"""Whoever does not ask for CuPy never loads it, nor our CUDA code."""

import subprocess
import sys


def test_training_with_numpy_loads_no_cupy():
    code = (
        "import sys, numpy as np; from minivae import VAE; from minivae.backend import get_backend;"
        "vae = VAE(8, (4,), 2, backend='numpy'); vae.step(np.zeros((3, 8)), np.zeros((3, 2)));"
        "import minivae.training, minivae.cli;"
        "print([n for n in sys.modules if 'cupy' in n or n.startswith('minivae.cuda')])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
