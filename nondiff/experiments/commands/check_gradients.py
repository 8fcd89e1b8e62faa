"""The `check-gradients` command: whether the gradients that an environment offers agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.table import Table

from nondiff.env_recipe import EnvRecipe, env_arguments
from nondiff.experiments.ranges import check_ranges
from nondiff.experiments.terminal.console import out_json, out_table
from nondiff.experiments.terminal.parsing import parse_options

if TYPE_CHECKING:
    from nondiff.agents.api import Environment
    from nondiff.agents.pathwise.gradient_check import GradientCheck, PairCheck

MAX_POINTS = 10**6
DISAGREE = 1  # exit code where --max-disagreeing is exceeded


@dataclass(frozen=True)
class CheckGradientsOptions:
    """Compare the gradients that an environment offers, and differences, at random points."""

    env: str
    """Id of any registered environment with a black box."""
    env_arg: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """KEY=VALUE, an argument of the environment; repeat for more."""
    points: int = 256
    """Points."""
    seed: int = 0
    """Seed of the points."""
    step: float = 1e-3
    """Step of the differences, as a share of half the width of the actions' Box."""
    tolerance: float = 1e-2
    """Below which two entries agree, relative to the largest entry of the point's Jacobian."""
    max_disagreeing: float | None = None
    """Exit with 1 if in any pair a larger share of entries than this disagrees."""
    json: bool = False
    """Print JSON instead of a table."""


def parse(arguments: list[str], prog: str) -> CheckGradientsOptions:
    """Parse a command line."""
    return parse_options(CheckGradientsOptions, arguments, prog)


def print_check(options: CheckGradientsOptions) -> int:
    """Print how the gradients agree; returns the exit code.

    Raises:
        InvalidOptionError: an environment without a gradient, or an option out of its range.
        EnvironmentFailedError: the black box failed at all points.
    """
    check_ranges({"max_disagreeing": (options.max_disagreeing or 0, 0, 1)})
    recipe = EnvRecipe.typed(options.env, env_arguments(options.env_arg))
    check = _checked(recipe, options.points, options.seed, options.step, options.tolerance)
    if options.json:
        data = {"env": recipe.id, "env_arguments": dict(recipe.arguments), "seed": options.seed}
        out_json(data | check.to_json())
    else:
        _print_table(recipe, check)
    exceeded = (
        options.max_disagreeing is not None and check.most_disagreeing() > options.max_disagreeing
    )
    return DISAGREE if exceeded else 0


def check_gradients(
    env: Environment,
    points: int = CheckGradientsOptions.points,
    seed: int = CheckGradientsOptions.seed,
    step: float = CheckGradientsOptions.step,
    tolerance: float = CheckGradientsOptions.tolerance,
) -> GradientCheck:
    """Compare the gradients that an environment offers, and differences, at random points.

    Args:
        env: an id, an environment made by `gymnasium.make`, or a black box.
        points: how many.
        seed: of the points.
        step: of the differences, as a share of half the width of the actions' Box.
        tolerance: below which two entries agree, relative to the largest entry of the Jacobian.

    Raises:
        InvalidOptionError: an environment without a gradient, or a number out of its range.
        EnvironmentFailedError: the black box failed at all points.
    """
    from nondiff.agents.api import recipe_of

    return _checked(recipe_of(env), points, seed, step, tolerance)


def _checked(
    recipe: EnvRecipe, points: int, seed: int, step: float, tolerance: float
) -> GradientCheck:
    from nondiff.agents.api import torch_threads
    from nondiff.agents.pathwise import gradient_check

    check_ranges({"points": (points, 1, MAX_POINTS), "seed": (seed, 0, 2**63)})
    with recipe.opened() as env, torch_threads(1):
        return gradient_check.check_gradients(env, points, seed, step, tolerance)


def _print_table(recipe: EnvRecipe, check: GradientCheck) -> None:
    compared = check.points - check.failed
    table = Table(
        title=f"{recipe.id}: gradients at {compared:,} of {check.points:,} points "
        f"({check.failed:,} failed), {check.ledger['meter/calls']:,.0f} calls; "
        f"differences of step {check.step:g}",
        title_justify="left",
        caption="disagreements are relative to the largest entry of the point's Jacobian",
        caption_justify="left",
    )
    table.add_column("compared", overflow="fold")
    for heading in (f"above {check.tolerance:g}", "median", "largest"):
        table.add_column(heading, justify="right")
    table.add_column("largest at", overflow="fold")
    for pair in check.pairs:
        table.add_row(*_row(pair))
    out_table(table, file_width=130)


def _row(pair: PairCheck) -> list[str]:
    worst = pair.worst
    return [
        f"{pair.first} and {pair.second}",
        f"{pair.disagreeing:.2%}",
        f"{pair.median:.1e}",
        f"{pair.largest:.1e}",
        f"point {worst.point}, outcome {worst.outcome}, action {worst.action}: "
        f"{worst.first:.6g} and {worst.second:.6g}",
    ]
