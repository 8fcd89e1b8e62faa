"""Base classes that define how environments and their resources are copied."""

from __future__ import annotations

import copy
from typing import ClassVar, NoReturn

from typing_extensions import Self

from nondiff.errors import CopyRefusedError


class DeepCopied:
    """Makes `copy.copy` a deep copy, since a shallow one would share the simulator."""

    def __copy__(self) -> Self:
        return copy.deepcopy(self)


class NeverCopied:
    """Raises when it, or an object that holds it, is copied or pickled.

    For handles of processes, threads, files or foreign memory: a copy would make two owners of one
    resource.
    """

    instead: ClassVar[str]  # what to do instead; ends the error message

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise CopyRefusedError(f"{type(self).__name__} can't be copied or pickled: {self.instead}")
