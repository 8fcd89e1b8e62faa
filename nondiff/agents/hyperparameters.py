"""Numbers that hyperparameters of any strategy may be.

Beyond its upper bound a number is a mistake, or a stranger's: it would take all memory or not end.
`nondiff.agents.capabilities.check_values` checks them, and products of several.
"""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Gt, Le, MaxLen

LARGEST = 1e18  # beyond all use, and no product of two overflows single precision
MAX_REPEATS = 10**7  # gradient steps, passes or rounds: hours, if each takes a millisecond
MAX_ROWS = 10**6  # in memory at once, such as those of a batch
MAX_TRANSITIONS = 10**8  # of a replay buffer
MAX_WIDTH = 10**5  # of a hidden layer
MAX_LAYERS = 100
MAX_NETWORKS = 100  # beside each other

Positive = Annotated[float, Gt(0), Le(LARGEST)]
NonNegative = Annotated[float, Ge(0), Le(LARGEST)]
Share = Annotated[float, Ge(0), Le(1)]
Count = Annotated[int, Ge(1), Le(MAX_REPEATS)]
CountOrNone = Annotated[int, Ge(0), Le(MAX_REPEATS)]
Rows = Annotated[int, Ge(1), Le(MAX_ROWS)]
Several = Annotated[int, Ge(2), Le(MAX_ROWS)]
Networks = Annotated[int, Ge(1), Le(MAX_NETWORKS)]
Layers = Annotated[tuple[Annotated[int, Ge(1), Le(MAX_WIDTH)], ...], MaxLen(MAX_LAYERS)]
