"""The faulty layers of the gallery, and the cause by which each should be named.

The layers are in linear.py, other.py and deep.py, whole models in vae.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minivae.gradcheck.gallery.deep import (
    CroppedAtOneEnd,
    KernelTurned,
    LabelForgotten,
    LastUseAlone,
    LossNotAveraged,
    MeanIsConstant,
    MeanPoolNotDivided,
    NothingThroughTime,
    PoolSpreads,
    ScaleForgotten,
    ScoresNotTurned,
    SoftmaxByEntry,
    StatisticsAreConstants,
    SumOverRows,
)
from minivae.gradcheck.gallery.linear import (
    Accumulates,
    BatchAxisKept,
    BiasNeverWritten,
    DoubleForSingle,
    FirstInputKept,
    HalfTheBatch,
    InputOneCallLate,
    LastUnitForgotten,
    MeanTwice,
    RowForBias,
    SignOfTheUpdate,
    UpdatesItself,
    WeightReshaped,
    WeightTransposed,
    WholeBuffer,
    WholeNumbers,
)
from minivae.gradcheck.gallery.other import (
    ChainForgotten,
    ChangesGradientInPlace,
    ChangesInputInPlace,
    DropsAtRandom,
    Exchanged,
    LeakForgotten,
    MaskInverted,
    MeanNotUndone,
    PassesEverything,
    SecondOutputForgotten,
    SigmoidOfInput,
    SkipForgotten,
    TanhHalved,
)

Array = np.ndarray

# The fault and the cause that names it.
LAYER_FAULTS: tuple[tuple[type[Any], str], ...] = (
    (BiasNeverWritten, "zero"),
    (SignOfTheUpdate, "sign"),
    (MeanTwice, "scale"),
    (WeightTransposed, "transpose"),
    (WeightReshaped, "transpose"),
    (BatchAxisKept, "shape"),
    (RowForBias, "shape"),
    (Accumulates, "accumulated"),
    (FirstInputKept, "stale"),
    (InputOneCallLate, "stale"),
    (WholeBuffer, "stale"),
    (HalfTheBatch, "partial"),
    (LastUnitForgotten, "partial"),
    (UpdatesItself, "mutates"),
    (WholeNumbers, "dtype"),
    (DoubleForSingle, "dtype"),
    (PassesEverything, "mask"),
    (MaskInverted, "mask"),
    (LeakForgotten, "mask"),
    (ChangesGradientInPlace, "mutates"),
    (ChangesInputInPlace, "mutates"),
    (ChainForgotten, "chain"),
    (SigmoidOfInput, "slope"),
    (TanhHalved, "scale"),
    (MeanNotUndone, "scale"),
    (SkipForgotten, "missing-term"),
    (DropsAtRandom, "random"),
    (Exchanged, "swapped"),
    (SecondOutputForgotten, "missing-term"),
    (CroppedAtOneEnd, "shift"),
    (KernelTurned, "flip"),
    (PoolSpreads, "mask"),
    (MeanPoolNotDivided, "scale"),
    (StatisticsAreConstants, "missing-term"),
    (MeanIsConstant, "constant"),
    (SoftmaxByEntry, "missing-term"),
    (SumOverRows, "mixed"),
    (ScaleForgotten, "scale"),
    (ScoresNotTurned, "mixed"),
    (NothingThroughTime, "mixed"),
    (LastUseAlone, "missing-term"),
    (LabelForgotten, "missing-term"),
    (LossNotAveraged, "scale"),
)


def inputs_of(fault: type[Any], rng: np.random.Generator) -> tuple[Array, ...]:
    """Return inputs for a layer: its own kind, or else 6 rows of 4."""
    if hasattr(fault, "inputs"):
        return fault.inputs(rng)
    if hasattr(fault, "shapes"):
        return tuple(rng.normal(size=shape) for shape in fault.shapes)
    count = 2 if fault is Exchanged else 1
    dtype = "float32" if fault is DoubleForSingle else "float64"
    return tuple(rng.normal(size=(6, 4)).astype(dtype) for _ in range(count))
