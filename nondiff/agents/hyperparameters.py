"""Numbers that hyperparameters of any strategy may be."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Gt, Le

LARGEST = 1e18  # beyond all use, and no product of two overflows single precision

Positive = Annotated[float, Gt(0), Le(LARGEST)]
NonNegative = Annotated[float, Ge(0), Le(LARGEST)]
Count = Annotated[int, Ge(1)]
