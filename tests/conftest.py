"""What all tests share: Hypothesis draws the same examples in every run; bench/ can be imported."""

import signal
import sys
from pathlib import Path

import pytest
from hypothesis import settings

sys.path.append(str(Path(__file__).parents[1]))  # last: minivae is the one that is installed

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in a shell's background; it is sent here
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("minivae", deadline=None, max_examples=30, derandomize=True)
settings.load_profile("minivae")


def pytest_addoption(parser):
    parser.addoption("--products", help="what multiplies matrices in all tests: numpy or onednn")


@pytest.fixture(scope="session", autouse=True)
def library(request):
    """Let the library of --products compute all products that say nothing of another."""
    from minivae import products

    name = request.config.getoption("--products")
    if name is None:
        yield
    else:
        with products.using(name):
            yield
