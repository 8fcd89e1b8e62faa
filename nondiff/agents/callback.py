"""A function of the user's that is told of a training, and may end it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nondiff.errors import CallbackFailedError, NondiffError


class Callback:
    """Calls a function until it returns False; what it raises is the user's error.

    Args:
        name: of the function, for messages.
        function: None: nothing is called.
    """

    def __init__(self, name: str, function: Callable[..., object] | None) -> None:
        self.name = name
        self.goes_on = True
        self._function = function

    def __call__(self, *values: Any) -> bool:
        """Whether the training continues.

        Raises:
            CallbackFailedError: the function raised.
        """
        if self._function is not None and self.goes_on:
            try:
                self.goes_on = self._function(*values) is not False
            except NondiffError:
                raise
            except Exception as error:
                raise CallbackFailedError(
                    f"{self.name} raised {type(error).__name__}: {error}"
                ) from error
        return self.goes_on
