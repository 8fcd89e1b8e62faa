"""A family of environments: one package, whose `__init__` says what Gymnasium is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nondiff.requirements import Need


@dataclass(frozen=True)
class Family:
    """What a package of environments offers. Nothing of it is imported before it is used.

    Args:
        environments: for each id, the entry point within the package, "module:function", and its
            default arguments.
        needs: what they can't be made without, beside nondiff's own dependencies.
        vectorised: whether each entry point has another, of the same name and `_vector`, that steps
            many episodes at once, for `gymnasium.make_vec`.
    """

    environments: Mapping[str, tuple[str, Mapping[str, object]]]
    needs: tuple[Need, ...] = ()
    vectorised: bool = False

    def vector_entry_point(self, entry_point: str) -> str | None:
        """The vectorised form of an entry point, if there is one."""
        return f"{entry_point}_vector" if self.vectorised else None
