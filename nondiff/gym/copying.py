"""What it means to copy an environment, and the things that run for one."""

from __future__ import annotations

import copy
from typing import ClassVar, NoReturn

from typing_extensions import Self

from nondiff.errors import CopyRefusedError


class DeepCopied:
    """`copy.copy` of it is `copy.deepcopy`: a shallow copy would share what runs for it."""

    def __copy__(self) -> Self:
        return copy.deepcopy(self)


class NeverCopied:
    """Refuses to be copied or pickled, alone or in whatever holds it.

    For what stands for a process, a thread, a file or memory outside Python: to copy its numbers
    would make two owners of one thing.
    """

    instead: ClassVar[str]  # what to do; the end of the error's message

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise CopyRefusedError(f"{type(self).__name__} can't be copied or pickled: {self.instead}")
