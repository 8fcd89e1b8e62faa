"""The model card of a run."""

from __future__ import annotations

import json

from nondiff.experiments.run.file_names import (
    CARD,
    CONFIG,
    CURVE,
    MARK,
    METRICS,
    STATE,
    write_marked,
)
from nondiff.experiments.run.folder import Run
from nondiff.experiments.terminal.shell_commands import nondiff_line
from nondiff.text import code, markdown

TEMPLATE = """# {env} trained with {strategy}

{headline}

![learning curve]({curve})

- seed {seed}, {steps:,} of at most {budget:,} environment steps, {seconds} s
- training stopped: {stopped}
- environment arguments: {env_arguments}; wrappers: {wrappers}
- `{config}`: every option and version; `{metrics}`: metrics; `{state}`: results
- `models/`: the best and the latest model (JSON and safetensors, nothing executable)

Look at it with {command}.

<!-- {mark}, which replaces this file when the run is resumed; write your own into another. -->
"""


def headline(run: Run) -> str:
    """The held-out evaluation, in a line; for a finished run."""
    result = run.state.result
    assert result is not None
    success, mean = result.success, result.return_mean
    text = f"mean return {mean.value:.3g} [{mean.low:.3g}, {mean.high:.3g}]"
    if success is not None:
        text = f"success {success.value:.1%} [{success.low:.1%}, {success.high:.1%}], {text}"
    return f"{text} over {result.episodes} evaluation episodes (95 % intervals)"


def stopped(run: Run) -> str:
    """Why a finished run's training ended."""
    asked = run.asked
    match run.state.stop_reason:
        case "budget":
            return f"the budget of {asked.budget:,} steps was spent"
        case "success":
            return f"a success rate of {asked.stop_at_success:.0%} was reached"
        case "return":
            return f"a mean return of {asked.stop_at_return:g} was reached"
        case "callback":
            return "a callback ended it"
        case _:
            return "for a reason that was not recorded"


def write_card(run: Run) -> None:
    """Write README.md into a finished run's folder."""
    text = TEMPLATE.format(
        env=markdown(run.config.env),
        strategy=markdown(run.config.strategy),
        headline=headline(run).capitalize() + ".",
        curve=CURVE,
        mark=MARK,
        seed=run.config.seed,
        steps=run.state.steps,
        budget=run.asked.budget,
        seconds=run.state.seconds,
        stopped=stopped(run),
        env_arguments=code(json.dumps(run.config.env_arguments)),
        wrappers=", ".join(map(code, run.config.wrappers)) or "none",
        config=CONFIG,
        metrics=METRICS,
        state=STATE,
        command=code(nondiff_line("evaluate", run.folder)),
    )
    write_marked(run.files / CARD, text.encode(errors="backslashreplace"))
