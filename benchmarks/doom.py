"""What PPO scores on the scenarios of Doom and what it costs; how the speed compares to ViZDoom's.

A seed is a training by the `train` command with the preset. Its best model, chosen by evaluations
on the way, plays episodes that no training saw, deterministically: the mean return is its score,
in the scenario's own rewards. CPU seconds are those of everything: start-up of Python, evaluations,
the final judgement, and the engines, which are processes of their own.

    python benchmarks/doom.py --jobs 2    # goes on where it was stopped
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import tyro
from measuring import cpu_seconds, run
from trainings import ONE_SEGMENT

from nondiff.agents.seeds import held_out_seeds
from nondiff.experiments.evaluation.episodes import RandomPolicy, play
from nondiff.experiments.evaluation.statistics import bootstrapped

ENVS = ("DoomBasic", "DoomDefendTheCenter")
TARGETS = {"DoomBasic": 82.2, "DoomDefendTheCenter": 13.0}
SOURCE = {"DoomBasic": "DQN, Kempka et al. 2016", "DoomDefendTheCenter": "a first trial"}
Results = dict[str, Any]
Burst = Callable[[int], None]  # plays so many steps


@dataclass(frozen=True)
class Options:
    """Train PPO on the scenarios over several seeds and print the table."""

    envs: tuple[str, ...] = ENVS
    """Which scenarios."""
    seeds: int = 5
    """Seeds a scenario."""
    jobs: int = 1
    """Trainings at a time."""
    episodes: int = 100
    """Episodes that judge a model."""
    rounds: int = 15
    """Rounds of the comparison with bare ViZDoom."""
    out: Path = Path("docs/results")
    """Where doom.json and doom.md are written; trainings that are there already are kept."""


def main(options: Options) -> None:
    """Measure what is missing, write and print."""
    unknown = set(options.envs) - set(ENVS)
    if unknown:
        sys.exit(f"error: unknown scenarios {sorted(unknown)}; choose from {', '.join(ENVS)}")
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "doom.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    for env in options.envs:
        row = results.setdefault(env, {"seeds": {}})
        if "random" not in row:
            row["random"] = random_score(env, options.episodes)
        if "speed" not in row:
            row["speed"] = speed(env, options.rounds)
        write(results, path)
    measure(options, results, path)
    write(results, path)
    sys.stdout.write(table(results))


def measure(options: Options, results: Results, path: Path) -> None:
    """Train every seed that is missing, and note each when it is done."""
    lock = threading.Lock()

    def one(job: tuple[str, int]) -> None:
        measured = train(*job, options.episodes, Path(folder))
        with lock:
            results[job[0]]["seeds"][str(job[1])] = measured
            write(results, path)

    jobs = [(env, seed) for env in options.envs for seed in range(options.seeds)]
    missing = [job for job in jobs if str(job[1]) not in results[job[0]]["seeds"]]
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.jobs) as pool:
        for _ in pool.map(one, missing):
            pass


def train(env: str, seed: int, episodes: int, runs: Path) -> dict[str, Any]:
    """Train one seed by the `train` command; returns what its run folder says, and its cost."""
    name = f"{env}-{seed}"
    command = [sys.executable, "-m", "nondiff", "train", "--env", f"nondiff/{env}-v0"]
    command += ["--seed", str(seed), "--name", name, "--runs", str(runs)]
    command += ["--judge-episodes", str(episodes), "--checkpoint-every", str(ONE_SEGMENT)]
    spent = run(command, runs / f"{name}.log")  # with its engines, each by its supervisor
    state = json.loads((runs / name / "run.json").read_text())
    return {
        "score": state["result"]["return_mean"]["value"],
        "steps": state["models"]["best"]["steps"],
        "steps_trained": state["steps"],
        "seconds": state["seconds"],
        "cpu_seconds": spent,
    }


def random_score(env: str, episodes: int) -> float:
    """The mean return of uniformly drawn actions on the same episodes."""
    with closing(gymnasium.make(f"nondiff:nondiff/{env}-v0")) as made:
        played = play(made, RandomPolicy(made.action_space), held_out_seeds(episodes))
    return float(np.mean([episode.episode_return for episode in played]))


def speed(env: str, rounds: int, steps: int = 200) -> dict[str, float]:
    """Medians of steps per CPU second, engine included, of the environment and of bare ViZDoom.

    The two take turns, and do the same: random actions, the screen read at every step.
    """
    with closing(gymnasium.make(f"nondiff:nondiff/{env}-v0")) as made:
        bare = bare_vizdoom(made)
        rates: dict[str, list[float]] = {"environment": [], "bare": []}
        bursts = {"environment": playing(made), "bare": next(bare)}
        for _ in range(rounds):
            for name, burst in bursts.items():
                before = cpu_seconds()
                burst(steps)
                rates[name].append(steps / (cpu_seconds() - before))
        next(bare, None)
    ratios = np.divide(rates["environment"], rates["bare"])
    medians = {name: float(np.median(values)) for name, values in rates.items()}
    return {**medians, "ratio": float(np.median(ratios))}


def playing(env: gymnasium.Env[Any, Any]) -> Burst:
    """Random actions in the environment."""
    env.reset(seed=0)
    rng = np.random.default_rng(0)

    def burst(steps: int) -> None:
        for _ in range(steps):
            _, _, terminated, truncated, _ = env.step(int(rng.integers(4)))
            if terminated or truncated:
                env.reset()

    return burst


def bare_vizdoom(env: gymnasium.Env[Any, Any]) -> Iterator[Burst]:
    """The same in ViZDoom itself, without seeds, supervision or observations; then ends it."""
    import vizdoom

    scenario = env.unwrapped.scenario  # type: ignore[attr-defined]
    game = vizdoom.DoomGame()
    game.load_config(str(Path(vizdoom.scenarios_path) / scenario.config))
    game.set_screen_resolution(vizdoom.ScreenResolution.RES_160X120)
    game.set_screen_format(vizdoom.ScreenFormat.GRAY8)
    game.set_window_visible(False)
    rng = np.random.default_rng(0)
    buttons = [list(held) for held in scenario.actions.values()]
    tics = env.unwrapped.metadata["frames_per_step"]

    def burst(steps: int) -> None:
        for _ in range(steps):
            game.make_action(buttons[int(rng.integers(4))], tics)
            if game.is_episode_finished():
                game.new_episode()
            game.get_state().screen_buffer.copy()

    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:  # which it writes into
        os.chdir(folder)
        game.init()
        os.chdir(before)
        yield burst
        game.close()


def write(results: Results, path: Path) -> None:
    """Keep the results, and the table of them."""
    path.write_text(json.dumps(results, indent=1) + "\n")
    path.with_suffix(".md").write_text(f"# Doom\n\n{table(results)}")


def table(results: Results) -> str:
    """The results as Markdown."""
    lines = [
        "PPO with the presets; score: the mean return of the best model over held-out episodes,",
        "with a 95 % interval over seeds; `python benchmarks/doom.py --jobs 2`.",
        "",
        "| scenario | score | of each seed | to compare with | random | steps | CPU seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for env, row in results.items():
        seeds = [row["seeds"][seed] for seed in sorted(row["seeds"], key=int)]
        if not seeds:
            continue
        scores = [seed["score"] for seed in seeds]
        mean = bootstrapped(scores)
        costs = [seed["cpu_seconds"] for seed in seeds]
        cells = [
            env,
            f"{mean.value:.1f} [{mean.low:.1f}, {mean.high:.1f}]",
            ", ".join(f"{score:.1f}" for score in scores),
            f"{TARGETS[env]} ({SOURCE[env]})",
            f"{row['random']:.1f}",
            f"{seeds[0]['steps_trained']:,}",
            f"{np.mean(costs):.0f}, at most {max(costs):.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "Steps per CPU second, engine included, random actions, medians in turn:",
        "",
        "| scenario | environment | bare ViZDoom | ratio |",
        "|---|---|---|---|",
    ]
    for env, row in results.items():
        found = row["speed"]
        cells = [env, f"{found['environment']:,.0f}", f"{found['bare']:,.0f}"]
        lines.append(f"| {' | '.join(cells)} | {found['ratio']:.2f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(tyro.cli(Options))
