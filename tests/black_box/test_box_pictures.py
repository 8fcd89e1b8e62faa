"""Pictures of black boxes: in films, in the gallery, of any size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from PIL import Image, ImageSequence
from small_boxes import Track

from nondiff.agents import find_strategy
from nondiff.black_box import BlackBoxEnv, FunctionBox, Start
from nondiff.env_recipe import EnvRecipe
from nondiff.errors import InvalidOptionError
from nondiff.experiments.commands.train import _checkpoint_every
from nondiff.experiments.comparison.cells import Cell
from nondiff.experiments.comparison.gallery import _answer
from nondiff.experiments.comparison.headline import number
from nondiff.experiments.evaluation.episodes import RandomPolicy
from nondiff.experiments.evaluation.video import FRAME_RATE, PAUSE, film

TWO = {"low": [0, 0], "high": [1, 1], "contexts": np.eye(2)}


def drawn_seconds(path: Path) -> float:
    with Image.open(path) as found:
        return sum(frame.info["duration"] for frame in ImageSequence.Iterator(found)) / 1000


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("env_id", "seconds"),
    [("small_boxes:Plain-v0", 2 * 1), ("small_boxes:Track-v0", 6 / 5)],
)
def test_a_black_box_is_filmed_though_what_makes_it_takes_no_render_mode(
    env_id: str, seconds: float, tmp_path: Path
) -> None:
    recipe = EnvRecipe(env_id)
    with recipe.opened() as env:
        policy = RandomPolicy(env.action_space)
    film(recipe, policy, [0], tmp_path / "film.gif")
    assert drawn_seconds(tmp_path / "film.gif") == pytest.approx(
        seconds + PAUSE, abs=1 / FRAME_RATE
    )
    with pytest.raises(InvalidOptionError, match="'human' is unknown; choose from rgb_array"):
        recipe.make(render_mode="human")


def test_names_of_numbers_are_one_each() -> None:
    with pytest.raises(InvalidOptionError, match="parameter_names must be 2 texts"):
        FunctionBox(np.sort, **TWO, parameter_names=["mass"])
    with pytest.raises(InvalidOptionError, match="outcome_names must be 2 texts"):
        FunctionBox(np.sort, **TWO, outcome_names="height")


@pytest.mark.parametrize("many", [2, 20])
@pytest.mark.parametrize("fails", [False, True])
def test_answers_of_any_size_are_drawn(many: int, fails: bool) -> None:
    value = np.nan if fails else 1.0
    sizes = {"low": np.zeros(many), "high": np.ones(many), "contexts": np.eye(many)}
    env = BlackBoxEnv(FunctionBox(lambda p: p * value, **sizes), "rgb_array")
    env.reset(seed=0)
    before = env.render()
    env.step(np.zeros(many))
    assert not np.array_equal(before, env.render())


def test_the_gallery_shows_where_an_episode_of_many_steps_ends() -> None:
    class Pooled(Track):
        def pool(self) -> Start:
            return self.initial(3, np.random.default_rng(0))

    class Still:
        def predict(self, observation: Any, deterministic: bool = True) -> Any:
            return np.zeros(1, np.float32)

    picture = _answer(Pooled(), Still(), 1, Cell("Pooled-v0", "cma-es", 100, 0))
    assert picture.png.startswith(b"\x89PNG")
    goal = Pooled().pool().context[1, 0]
    assert f"return {number(-5 * abs(goal))}" in picture.title


def test_segments_of_published_trainings_keep_their_length() -> None:
    strategy = find_strategy("ppo")()
    for name in ("nondiff/PandaReach-v0", "nondiff/SurfaceWaves6-v0"):
        with gymnasium.make(name) as env:
            assert _checkpoint_every(env, strategy) == strategy.checkpoint_every
