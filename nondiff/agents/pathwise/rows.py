"""Tables of tensors that have a row each for the same things."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor

R = TypeVar("R", bound="Rows")


class Rows:
    """Base of a dataclass whose fields are all tensors (rows, ...)."""

    def __len__(self) -> int:
        return len(next(iter(vars(self).values())))

    def chosen(self: R, rows: Tensor) -> R:
        """Some of the rows."""
        return type(self)(*(part[rows] for part in vars(self).values()))

    def and_also(self: R, *more: R) -> R:
        """These rows and then others."""
        return joined([self, *more])

    def to(self: R, device: torch.device) -> R:
        """The same rows on a device."""
        return type(self)(*(part.to(device) for part in vars(self).values()))


def joined(tables: Sequence[R]) -> R:
    """The rows of one or more tables, one after another."""
    columns = zip(*(vars(table).values() for table in tables), strict=True)
    return type(tables[0])(*(torch.cat(parts) for parts in columns))
