"""What `arm_learning.py` measures, and what others have published of the same tasks."""

from __future__ import annotations

from dataclasses import dataclass

HINDSIGHT = ("sac", "td3", "tqc")  # which relabel goals where the environment has some


@dataclass(frozen=True)
class Row:
    """One way to train on one environment.

    Args:
        task: such as "PandaPush" or "PandaPushDense".
        strategy: as `nondiff train` calls it.
        budget: environment steps after which a training that did not succeed ends; None: the
            preset's.
        demonstrations: episodes that the task's scripted expert plays before.
        action_noise: see `nondiff demonstrate`.
        relative, goal_relative: whether places relative to the hand, and the way to the goal, are
            observed, see `ArmEnv`.
        options: more for `nondiff train`.
    """

    task: str
    strategy: str
    budget: int | None = None
    demonstrations: int = 0
    action_noise: float = 0.0
    relative: bool = False
    goal_relative: bool = False
    options: tuple[str, ...] = ()

    @property
    def env_id(self) -> str:
        """The environment's id."""
        return f"nondiff/{self.task}-v0"

    @property
    def method(self) -> str:
        """The strategy, and what it has beside."""
        shown = f", {self.demonstrations:,} demonstrations" if self.demonstrations else ""
        her = "+her" if self.strategy in HINDSIGHT else ""
        relative = ", relative" if self.relative else ""
        to_goal = ", to the goal too" if self.goal_relative else ""
        return f"{self.strategy}{her}{shown}{relative}{to_goal}"

    @property
    def name(self) -> str:
        """What the row is called, on the command line and among the results."""
        return f"{self.task} {self.method}"

    def arguments(self) -> list[str]:
        """What it asks of `nondiff train`."""
        budget = [] if self.budget is None else ["--budget", str(self.budget)]
        return [*self.env_arguments(), "--strategy", self.strategy, *budget, *self.options]

    def env_arguments(self) -> list[str]:
        """What names the environment to `nondiff`."""
        chosen = [name for name in ("relative", "goal_relative") if getattr(self, name)]
        return ["--env", self.env_id, *(w for n in chosen for w in ("--env-arg", f"{n}=true"))]

    def demonstrating(self) -> list[str]:
        """What it asks of `nondiff demonstrate`."""
        noise = ["--action-noise", str(self.action_noise)] if self.action_noise else []
        return [*self.env_arguments(), "--episodes", str(self.demonstrations), *noise]


@dataclass(frozen=True)
class Published:
    """A mean return of rl-zoo3's TQC with HER, of one run, on panda-gym's task (its v1)."""

    task: str
    steps: int
    mean_return: float


# https://github.com/DLR-RM/rl-baselines3-zoo, benchmark.md and hyperparams/tqc.yml
PUBLISHED = (
    Published("PandaReach", 20_000, -1.768),
    Published("PandaPush", 1_000_000, -6.405),
    Published("PandaPickAndPlace", 1_000_000, -8.024),
    Published("PandaSlide", 3_000_000, -27.497),
    Published("PandaStack", 1_000_000, -96.915),
)

OBJECTS = ("PandaPush", "PandaPickAndPlace", "PandaStack", "PandaFlip", "PandaSlide")

# Where a preset of PPO expects demonstrations: what suits it without.
FROM_SCRATCH = (
    *("--num-envs", "8", "--vec-env", "batched", "--n-steps", "128", "--batch-size", "256"),
    *("--n-epochs", "10", "--gamma", "0.95", "--gae-lambda", "0.9", "--learning-rate", "1e-3"),
    *("--net-arch", "64", "64", "--activation", "tanh", "--log-std-init", "-0.5"),
    *("--normalize-observation", "--eval-every", "10240", "--eval-episodes", "20"),
)
FROM_SCRATCH_STEPS = 30_720

ROWS = (
    Row("PandaReach", "sac"),
    Row("PandaReach", "ppo"),
    Row("PandaReachDense", "sac"),
    Row("PandaReachDense", "ppo"),
    Row("KukaReach", "sac"),
    Row("PandaPush", "ppo", demonstrations=500),
    Row("PandaPickAndPlace", "ppo", demonstrations=200),
    Row(
        "PandaStack",
        "ppo",
        demonstrations=2_000,
        action_noise=0.3,
        relative=True,
        goal_relative=True,
    ),
    Row(
        "PandaFlip",
        "ppo",
        demonstrations=8_000,
        action_noise=0.15,
        relative=True,
        goal_relative=True,
    ),
    Row("PandaSlide", "ppo", demonstrations=2_000, action_noise=0.1, relative=True),
    *(
        Row(f"{task}{reward}", "ppo", FROM_SCRATCH_STEPS, options=FROM_SCRATCH)
        for reward in ("Dense", "")
        for task in OBJECTS
    ),
)
