"""Deep copies of layers in another precision, in which views into one array stay views into one.

What is then evaluated on the copies is decided in subject.py.
"""

from __future__ import annotations

import copy
import gc
import types
from typing import Any

import numpy as np

ATOMS = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, np.ufunc)
FLOATS = {np.dtype(name) for name in ("float16", "float32", "float64", "longdouble")}


def clone(thing: Any, dtype: Any = None) -> Any:
    """Return a deep copy of any object; its floating arrays in `dtype`, if one is given.

    Arrays that share memory share it in the copy as well, so a layer whose parameters are views
    into a flat vector still has them there. Attributes that hold a floating dtype follow `dtype`.

    Raises
    ------
    Exception
        Whatever `copy.deepcopy` raises for an object that cannot be copied.
    """
    memo: dict[int, Any] = {}
    reached = _reach(thing)
    _copy_arrays([one for one in reached if isinstance(one, np.ndarray)], dtype, memo)
    for one in reached:
        if isinstance(one, ATOMS) or type(one).__name__ in ("lock", "RLock"):
            memo[id(one)] = one
    for one in reached:
        if isinstance(one, types.MappingProxyType):  # deepcopy refuses these
            memo[id(one)] = types.MappingProxyType(
                {key: copy.deepcopy(value, memo) for key, value in one.items()}
            )
    result = copy.deepcopy(thing, memo)
    if dtype is not None:
        _retype(result, np.dtype(dtype))
    return result


def _reach(thing: Any) -> list[Any]:
    """Return every object that `thing` refers to, itself first; modules and classes unopened."""
    seen: dict[int, Any] = {}
    waiting = [thing]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen[id(one)] = one
        if not isinstance(one, (*ATOMS, np.ndarray, str, bytes, int, float)):
            waiting.extend(gc.get_referents(one))
    return list(seen.values())


def _copy_arrays(arrays: list[np.ndarray], dtype: Any, memo: dict[int, Any]) -> None:
    """Put a copy of each array into `memo`; those with one owner become views into one copy."""
    owners: dict[int, np.ndarray] = {}
    for array in arrays:
        owner = array
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        target = _target(array.dtype, dtype)
        if owner.dtype != array.dtype or not owner.flags.forc or array.dtype.hasobject:
            memo[id(array)] = array.astype(target)
            continue
        if id(owner) not in owners:
            owners[id(owner)] = owner.ravel(order="K").astype(target)
        flat = owners[id(owner)]
        offset = (_address(array) - _address(owner)) // array.itemsize * flat.itemsize
        strides = [step // array.itemsize * flat.itemsize for step in array.strides]
        memo[id(array)] = np.ndarray(array.shape, flat.dtype, flat, offset, strides)


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def _target(have: np.dtype, want: Any) -> np.dtype:
    return np.dtype(want) if want is not None and have in FLOATS else have


def _retype(thing: Any, dtype: np.dtype) -> None:
    """Let attributes that name a floating dtype name this one."""
    for one in _reach(thing):
        attributes = getattr(one, "__dict__", None)
        if isinstance(one, ATOMS) or not isinstance(attributes, dict):
            continue
        for name, value in attributes.items():
            if isinstance(value, np.dtype) and value in FLOATS:
                attributes[name] = dtype
            elif isinstance(value, type) and issubclass(value, np.floating):
                attributes[name] = dtype.type
            elif "dtype" in name and isinstance(value, str) and _floating(value):
                attributes[name] = dtype.name


def _floating(name: str) -> bool:
    try:
        return np.dtype(name) in FLOATS
    except TypeError:
        return False
