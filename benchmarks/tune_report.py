"""The table of a study's trials, the best first."""

from __future__ import annotations

from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
HEADING = """# {name}

`{command}`

A trial's cost is the mean over its trainings, with what it drew beside it. Trial 0 is the preset. A
pruned trial cost far more than the best, or more than most after as many trainings; its cost is
that of what it had done by then.

"""


def write(study: optuna.Study, command: str, path: Path) -> None:
    """Write the table of a study to a Markdown file.

    Args:
        study: with at least one trial.
        command: that made it.
        path: the file.
    """
    text = HEADING.format(name=study.study_name, command=command) + table(study)
    path.write_text(text + "\n")


def table(study: optuna.Study) -> str:
    """A line a trial that has ended."""
    trials = sorted(study.get_trials(states=FINISHED), key=_order)
    names = list(dict.fromkeys(name for trial in trials for name in trial.params))
    lines = [("trial", "cost", *names), ("---",) * (2 + len(names))]
    lines += [(str(t.number), _cost(t), *(_shown(t, name) for name in names)) for t in trials]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _order(trial: FrozenTrial) -> tuple[bool, float]:
    """Pruned ones come last, by how soon they were."""
    done = trial.state == TrialState.COMPLETE
    return not done, trial.value if done and trial.value is not None else trial.number


def _cost(trial: FrozenTrial) -> str:
    if trial.value is None:
        return "pruned"
    return f"{trial.value:,.1f}" + ("" if trial.state == TrialState.COMPLETE else ", pruned")


def _shown(trial: FrozenTrial, name: str) -> str:
    value = trial.params.get(name, "")
    return f"{value:.2g}" if isinstance(value, float) else str(value)
