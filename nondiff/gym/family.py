"""The declaration of an environment family, a package whose `__init__` holds a `FAMILY`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nondiff.requirements import Need


@dataclass(frozen=True)
class Family:
    """The environments of a package, which are imported on first use.

    Args:
        environments: for each id, the entry point within the package, "module:function", and its
            default arguments.
        needs: their dependencies beyond those of nondiff.
        vectorised: whether each entry point has a vectorized counterpart for `gymnasium.make_vec`,
            whose name ends in `_vector`.
    """

    environments: Mapping[str, tuple[str, Mapping[str, object]]]
    needs: tuple[Need, ...] = ()
    vectorised: bool = False

    def vector_entry_point(self, entry_point: str) -> str | None:
        """The vector entry point that belongs to an entry point; None: there is none."""
        return f"{entry_point}_vector" if self.vectorised else None
