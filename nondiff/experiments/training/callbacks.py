"""What a script plugs into the training of a run: functions that are told of it, and may end it."""

from __future__ import annotations

from collections.abc import Callable

from nondiff.agents.callback import Callback

OnProgress = Callable[[int, float | None], object]  # steps, mean return
OnEvaluation = Callable[[int, float | None, float], object]  # steps, success rate, mean return


class Callbacks:
    """Functions of the user's; training ends once one of them returns False.

    Args:
        on_progress: called after each step of the environments with the steps so far and the recent
            mean return, None as long as no episode has ended.
        on_evaluation: called after each evaluation, when the model is kept, with the steps so far,
            the success rate, None where none is reported, and the mean return.
    """

    def __init__(
        self, on_progress: OnProgress | None = None, on_evaluation: OnEvaluation | None = None
    ) -> None:
        self.progress = Callback("on_progress", on_progress)
        self.evaluation = Callback("on_evaluation", on_evaluation)

    @property
    def ended_by(self) -> str | None:
        """The name of the function that returned False, if one did."""
        for callback in (self.progress, self.evaluation):
            if not callback.goes_on:
                return callback.name
        return None
