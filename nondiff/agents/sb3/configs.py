"""The hyperparameters of every algorithm, under Stable-Baselines3's own names.

Defaults are Stable-Baselines3's. Importing this module does not import it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Le

from nondiff.agents.hyperparameters import (
    MOST_REPEATS,
    MOST_TRANSITIONS,
    Count,
    CountOrNone,
    Layers,
    Networks,
    NonNegative,
    Positive,
    Rows,
    Several,
)
from nondiff.agents.seeds import MOST_ENVS
from nondiff.agents.strategy import Strategy

Share = Annotated[float, Ge(0), Le(1)]
ImitationError = Literal["squared", "absolute"]


@dataclass(frozen=True)
class Reinforcement(Strategy):
    """What all algorithms share."""

    trainer = "nondiff.agents.sb3.training"
    continuous_only: ClassVar[bool] = False

    learning_rate: Positive = 3e-4
    """Step size of the optimiser."""
    learning_rate_schedule: Literal["constant", "linear"] = "constant"
    """Kept, or lowered linearly to zero at the end of the budget."""
    gamma: Share = 0.99
    """Discount factor."""
    network: Literal["stable-baselines3", "nondiff"] = "stable-baselines3"
    """Whose network acts: Stable-Baselines3's own for the algorithm, or the one that the other
    strategies train, so that they can be compared. Critics are always Stable-Baselines3's."""
    net_arch: Layers | None = None
    """Sizes of the hidden layers; None: the algorithm's own."""
    activation: Literal["tanh", "relu", "elu", "leaky_relu", "silu"] | None = None
    """Activation function; None: the algorithm's own."""
    num_envs: Annotated[int, Ge(1), Le(MOST_ENVS)] = 1
    """Environments stepped at once."""
    vec_env: Literal["serial", "batched", "processes"] = "serial"
    """Step them one after another in this process; or by one call, where the environment has a
    vectorised form; or each in a process of its own, which is restarted if it dies or hangs."""
    worker_timeout: Positive = 300.0
    """Seconds after which an environment in a process of its own counts as hung."""
    worker_restarts: CountOrNone = 3
    """Times that the process of an environment is restarted before training stops."""
    normalize_observation: bool = False
    """Scale observations by running statistics, which are kept with the model; with demonstrations,
    by theirs."""
    normalize_reward: bool = False
    """Scale training rewards by the running deviation of the return."""
    demonstrations: str | None = None
    """Folder of a Minari dataset to learn from too, as `nondiff demonstrate` writes it."""
    warm_start_steps: CountOrNone = 2_000
    """Gradient steps in which the policy imitates the demonstrations, before the environments'
    first step."""
    imitation_error: ImitationError = "squared"
    """What imitation makes small, of continuous actions. Where demonstrations differ, "squared"
    takes their mean, which may be neither way round an obstacle; "absolute" their median, which is
    the more frequent one (as in arXiv:2304.13705)."""


@dataclass(frozen=True)
class OnPolicy(Reinforcement):
    """What the algorithms that learn from fresh rollouts share."""

    n_steps: Rows = 2048
    """Steps of each environment between updates; at most the budget's share of each. A last
    rollout that the budget leaves incomplete is not trained on."""
    gae_lambda: Share = 0.95
    """Bias against variance of the generalised advantage estimate."""
    normalize_advantage: bool = True
    """Standardise advantages."""
    log_std_init: float = 0.0
    """Logarithm of the initial deviation of a continuous policy."""
    use_sde: bool = False
    """State-dependent exploration (gSDE) instead of independent noise."""
    sde_sample_freq: Annotated[int, Ge(-1), Le(MOST_REPEATS)] = -1
    """Steps between new gSDE noise; -1: once a rollout."""


@dataclass(frozen=True)
class PPO(OnPolicy):
    """Proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347)."""

    name = "ppo"

    batch_size: Several = 64
    """Transitions a gradient step."""
    n_epochs: Count = 10
    """Passes over each rollout."""
    clip_range: Positive = 0.2
    """How far the probability ratio may move in an update."""
    clip_range_vf: Positive | None = None
    """The same for the value function; None: no limit."""
    ent_coef: NonNegative = 0.0
    """Weight of the entropy bonus."""
    ent_coef_schedule: Literal["constant", "linear"] = "constant"
    """Kept, or lowered linearly to zero at the end of the budget."""
    vf_coef: NonNegative = 0.5
    """Weight of the value loss."""
    max_grad_norm: Positive = 0.5
    """Gradients are clipped to this norm."""
    target_kl: Positive | None = None
    """End an update early beyond this divergence."""


@dataclass(frozen=True)
class A2C(OnPolicy):
    """Synchronous advantage actor-critic (Mnih et al. 2016, arXiv:1602.01783)."""

    name = "a2c"

    learning_rate: Positive = 7e-4
    n_steps: Rows = 5
    gae_lambda: Share = 1.0
    normalize_advantage: bool = False
    ent_coef: NonNegative = 0.0
    """Weight of the entropy bonus."""
    ent_coef_schedule: Literal["constant", "linear"] = "constant"
    """Kept, or lowered linearly to zero at the end of the budget."""
    vf_coef: NonNegative = 0.5
    """Weight of the value loss."""
    max_grad_norm: Positive = 0.5
    """Gradients are clipped to this norm."""
    use_rms_prop: bool = True
    """RMSprop, as in the paper; otherwise Adam."""
    rms_prop_eps: Positive = 1e-5
    """Smallest divisor in RMSprop."""


@dataclass(frozen=True)
class TRPO(OnPolicy):
    """Trust-region policy optimisation (Schulman et al. 2015, arXiv:1502.05477)."""

    name = "trpo"

    learning_rate: Positive = 1e-3
    batch_size: Several = 128
    """Transitions a gradient step of the value function."""
    target_kl: Positive = 0.01
    """The trust region."""
    cg_max_steps: Count = 15
    """Conjugate-gradient iterations."""
    cg_damping: NonNegative = 0.1
    """Added to the diagonal of the Hessian."""
    line_search_shrinking_factor: Share = 0.8
    """Step shrinkage of the line search."""
    line_search_max_iter: Count = 10
    """Attempts of the line search."""
    n_critic_updates: Count = 10
    """Passes of the value function over each rollout."""
    sub_sampling_factor: Count = 1
    """Use one transition in so many for the Hessian."""


@dataclass(frozen=True)
class OffPolicy(Reinforcement):
    """What the algorithms that learn from a replay buffer share."""

    continuous_only: ClassVar[bool] = True
    checkpoint_every: ClassVar[int] = 5_000  # their steps are slow, for each is learnt from

    buffer_size: Annotated[int, Ge(1), Le(MOST_TRANSITIONS)] = 1_000_000
    """Transitions kept; no more than the budget are allocated."""
    learning_starts: CountOrNone = 100
    """Random steps before learning; with HER of each environment, more than an episode has."""
    batch_size: Several = 256
    """Transitions a gradient step."""
    tau: Share = 0.005
    """How fast target networks follow."""
    train_freq: Count = 1
    """Steps of each environment between updates."""
    gradient_steps: Annotated[int, Ge(-1), Le(MOST_REPEATS)] = 1
    """Gradient steps an update; -1: as many as environment steps."""
    her: bool | None = None
    """Hindsight relabelling (arXiv:1707.01495); None: where the environment has goals."""
    n_sampled_goal: Count = 4
    """Relabelled transitions for each real one."""
    goal_selection_strategy: Literal["future", "final", "episode"] = "future"
    """Where relabelled goals come from."""
    demonstrations_share: Share = 0.5
    """Part of each batch that is drawn from the demonstrations, which are kept to the end
    (arXiv:2302.02948)."""
    imitation: NonNegative = 5.0
    """Step size with which the actor goes on to imitate the demonstrations beside each update, in
    units of the learning rate (arXiv:1709.10089, without its filter)."""


@dataclass(frozen=True)
class SAC(OffPolicy):
    """Soft actor-critic (Haarnoja et al. 2018, arXiv:1812.05905)."""

    name = "sac"

    ent_coef: Annotated[str, "'auto', 'auto_INITIAL' or a number"] = "auto"
    """Weight of the entropy: learned ('auto', 'auto_0.1' from a start) or a number."""
    target_update_interval: Count = 1
    """Gradient steps between updates of the target networks."""
    use_sde: bool = False
    """State-dependent exploration (gSDE)."""


@dataclass(frozen=True)
class TD3(OffPolicy):
    """Twin delayed deterministic policy gradient (Fujimoto et al. 2018, arXiv:1802.09477)."""

    name = "td3"

    learning_rate: Positive = 1e-3
    action_noise: NonNegative = 0.1
    """Deviation of the exploration noise, actions scaled to [-1, 1]."""
    policy_delay: Count = 2
    """Critic updates for each of the actor."""
    target_policy_noise: NonNegative = 0.2
    """Deviation of the smoothing noise of target actions."""
    target_noise_clip: NonNegative = 0.5
    """Its largest magnitude."""


@dataclass(frozen=True)
class TQC(OffPolicy):
    """Truncated quantile critics (Kuznetsov et al. 2020, arXiv:2005.04269)."""

    name = "tqc"

    ent_coef: Annotated[str, "'auto', 'auto_INITIAL' or a number"] = "auto"
    """Weight of the entropy: learned ('auto', 'auto_0.1' from a start) or a number."""
    target_update_interval: Count = 1
    """Gradient steps between updates of the target networks."""
    top_quantiles_to_drop_per_net: CountOrNone = 2
    """Highest quantiles left out of each critic's target."""
    n_quantiles: Annotated[int, Ge(1), Le(1_000)] = 25
    """Quantiles a critic; each is compared with all others."""
    n_critics: Networks = 2
    """Critics."""
    use_sde: bool = False
    """State-dependent exploration (gSDE)."""
