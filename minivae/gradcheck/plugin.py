"""Gradient checks inside pytest: a fixture, a marker with shapes, and one JSON file of all reports.

pytest finds it by itself where minivae is installed; checking is for check.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minivae.gradcheck.check import check
from minivae.gradcheck.report import Report

REPORTS = pytest.StashKey[dict[str, Any]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --gradcheck-json."""
    group = parser.getgroup("minivae")
    group.addoption("--gradcheck-json", metavar="FILE", help="write all gradient reports here")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.stash[REPORTS] = {}
    config.addinivalue_line(
        "markers",
        "gradcheck(*shapes, seed=0): shapes of the normal inputs that the fixture gradcheck draws",
    )


def pytest_unconfigure(config: pytest.Config) -> None:
    """Write the reports."""
    target = config.getoption("--gradcheck-json", default=None)
    if target and not hasattr(config, "workerinput"):
        Path(target).write_text(json.dumps(config.stash[REPORTS], indent=1, allow_nan=False))


@pytest.fixture
def gradcheck(request: pytest.FixtureRequest) -> Callable[..., Report]:
    """Return a function of a layer and inputs that fails the test unless all gradients are right.

    Without inputs it draws those whose shapes the marker ``gradcheck`` names. Its options are those
    of `minivae.gradcheck.check`.
    """
    marker = request.node.get_closest_marker("gradcheck")

    def assert_right(layer: Any, *inputs: Any, **options: Any) -> Report:
        __tracebackhide__ = True
        if not inputs and marker is not None:
            rng = np.random.default_rng(marker.kwargs.get("seed", 0))
            inputs = tuple(rng.normal(size=shape) for shape in marker.args)
        report = check(layer, *inputs, **options)
        kept = request.config.stash[REPORTS]
        kept.setdefault(request.node.nodeid, []).append(report.to_dict())
        if not report.passed:
            pytest.fail(str(report), pytrace=False)
        return report

    return assert_right
