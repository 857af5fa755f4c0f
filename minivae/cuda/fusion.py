"""Two launches into one, where the second only passes on what the first has made.

A step is written as one launch for each formula; while it is captured, Device asks here whether two
neighbours can be one. Each number is computed as before, so the results are the same bits.
"""

from __future__ import annotations

from typing import Any, NamedTuple

# Places among the arguments of the kernel `product` (kernels.cu).
OUT, MASK, FOLLOWING = 10, 16, 18
NOTHING = (None, 0, None, 0)
LIBRARY = "cublaslt"  # stands for a kernel: a product by the library (a, b, out, bias, relu)


class Launch(NamedTuple):
    """A kernel of kernels.cu, or the library's product, with all that it is started with."""

    kernel: str
    grid: tuple[int, ...]
    block: tuple[int, ...]
    arguments: tuple[Any, ...]
    dtype: Any


def may_be_followed(launch: Launch) -> bool:
    """Whether a launch after this one might be fused with it."""
    if launch.kernel == LIBRARY:
        *_, bias, relu = launch.arguments
        return bias is not None and not relu
    return launch.kernel.startswith("product_") and launch.arguments[FOLLOWING] is None


def fuse(first: Launch, second: Launch) -> Launch | None:
    """Return one launch that does the work of both, or None.

    A product may be followed by ReLU of its result, or by ReLU's backward with its result as dy:
    (rows, columns, x, ld, y, ld) or (rows, columns, y, ld, dy, ld, dx, ld). The library's product
    then leaves ReLU's result alone: what was before it is nobody's.
    """
    if first.kernel == LIBRARY:
        a, b, out, bias, _ = first.arguments
        if second.kernel != "relu" or second.arguments[2] is not out:
            return None
        return first._replace(arguments=(a, b, second.arguments[4], bias, True))
    out, arguments = first.arguments[OUT], second.arguments
    if second.kernel == "relu" and arguments[2] is out:
        following = (None, 0, *arguments[4:6])
    elif second.kernel == "relu_backward" and arguments[4] is out:
        following = (*arguments[2:4], *arguments[6:8])
    else:
        return None
    return first._replace(arguments=(*first.arguments[:MASK], *following))
