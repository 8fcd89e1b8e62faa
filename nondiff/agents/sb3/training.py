"""Trains a Stable-Baselines3 algorithm from a configuration, segment by segment."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import VecEnv
from torch import nn

from nondiff.agents.demonstrations.dataset import Demonstrations, checksum, read_demonstrations
from nondiff.agents.iterations import new_module
from nondiff.agents.origin import origin_of
from nondiff.agents.policies.network import NET_ARCH, NetworkPolicy, non_finite_weight
from nondiff.agents.policies.spaces import to_json
from nondiff.agents.sb3.algorithms.on_policy import OnPolicy
from nondiff.agents.sb3.algorithms.reinforcement import Imitating, Reinforcement
from nondiff.agents.sb3.bridge import Bridge, observer_logger
from nondiff.agents.sb3.building import (
    build,
    cut_rollouts,
    normalized,
    policy_arguments,
)
from nondiff.agents.sb3.compatibility import check
from nondiff.agents.sb3.demonstrations.imitation import settle_statistics, warm_start
from nondiff.agents.sb3.library import policy_name
from nondiff.agents.sb3.policy import Description, Normalizer, ReinforcementPolicy
from nondiff.agents.sb3.schedules import EntropyDecay
from nondiff.agents.sb3.shared_network import network_of
from nondiff.agents.sb3.snapshot import restore, segment_after, snapshot
from nondiff.agents.sb3.vec_envs.finite import FiniteGuard
from nondiff.agents.sb3.vec_envs.vectorize import count_from, make_environments, simulator_seconds
from nondiff.agents.seeds import generator_seed, training_seed
from nondiff.agents.strategy import Observer, Training
from nondiff.env_recipe import EnvRecipe
from nondiff.errors import InvalidOptionError, NonFiniteError

__all__ = ["check", "train"]  # what `Strategy` asks of a trainer


def train(
    config: Reinforcement, training: Training, observer: Observer
) -> ReinforcementPolicy | NetworkPolicy:
    """Train until the budget is spent or the observer ends it; see `Strategy.train`."""
    module = _module(config, training)
    lessons = lessons_of(config, training.recipe)
    account, training = training, _in_whole_steps(config, training)
    with closing(make_environments(config, training.recipe, observer.note)) as environments:
        segment = Segment(config, training, observer, environments, module, lessons)
        count_from(environments, segment.start // config.num_envs)
        account.simulator_seconds = partial(simulator_seconds, environments)
        due = observer.begin(segment.start) and segment.start < training.budget
        reason = observer.evaluate(segment.start, segment.policy()) if due else None
        while reason is None and not segment.run():
            del segment  # its buffers are freed before the next one's are made
            segment = Segment(config, training, observer, environments, module, lessons)
        policy = segment.policy()
    if module is None or not isinstance(policy, NetworkPolicy):
        return policy
    module.load_state_dict(policy.module.state_dict())
    return policy.acting_with(module)


def _in_whole_steps(config: Reinforcement, training: Training) -> Training:
    """The same training, its budget cut to what all environments together can step."""
    if training.budget < config.num_envs:
        raise InvalidOptionError(
            f"budget {training.budget} is less than one step of num_envs = {config.num_envs} "
            "environments"
        )
    return replace(training, budget=training.budget - training.budget % config.num_envs)


def _module(config: Reinforcement, training: Training) -> nn.Module | None:
    """The network to train, if it is not to be Stable-Baselines3's own.

    Raises:
        InvalidOptionError: the algorithm can train none but its own.
    """
    if training.module is not None:  # as if `network` had asked for it
        replace(config, network="nondiff").check_hyperparameters()
    if training.module is None and config.network == "stable-baselines3":
        return None
    with training.recipe.opened() as env:
        return new_module(training, env, config.net_arch or NET_ARCH, config.activation or "silu")


@dataclass(frozen=True)
class Lessons:
    """Demonstrations, and the checksum of their dataset."""

    demonstrations: Demonstrations
    sha256: str


def lessons_of(config: Reinforcement, recipe: EnvRecipe) -> Lessons | None:
    """What a configuration says to learn from."""
    path = config.demonstrations
    if path is None:
        return None
    with recipe.opened() as env:
        return Lessons(read_demonstrations(path, env), checksum(path))


class Segment:
    """The part of a training from one checkpoint, or the start, to the next."""

    def __init__(
        self,
        config: Reinforcement,
        training: Training,
        observer: Observer,
        environments: VecEnv,
        module: nn.Module | None,
        lessons: Lessons | None,
    ) -> None:
        self._config, self._training, self._observer = config, training, observer
        self._module, self._lessons = module, lessons
        # What the checkpoint holds is all that passes from one segment to the next.
        state = training.checkpoints.load()
        self.start = state.steps if state else 0
        self._number = segment_after(state) if state else 0
        self._boundary = (self.start // training.checkpoint_every + 1) * training.checkpoint_every
        seed = generator_seed(training.seed, self._number)
        set_random_seed(seed)
        environments.seed(training_seed(training.seed, self._number))
        env = normalized(config, FiniteGuard(environments, self.start // config.num_envs))
        shown = lessons.demonstrations if lessons else None
        self.algorithm = build(config, training, env, module, shown)
        if state is not None:
            restore(self.algorithm, self._origin(), state, config.counters)
        # Given no seed, the algorithm leaves the environments' seeds as they are.
        self.algorithm.action_space.seed(seed)
        self.algorithm.set_logger(observer_logger(observer))

    def run(self) -> bool:
        """Train to the next checkpoint and save it; returns whether training is over."""
        if self._number == 0 and self._lessons is not None:
            self._warm_start(self._lessons.demonstrations)
            if self._observer.evaluate(0, self.policy()) is not None:
                return True
        budget = self._training.budget
        cut = self._learn(min(self._boundary, budget))
        steps = self.algorithm.num_timesteps
        if not cut and steps >= self._boundary and not cut_rollouts(self._config, budget):
            self.algorithm.logger.dump(steps)
            number, counters = self._number + 1, self._config.counters
            state = snapshot(self.algorithm, self._origin(), number, counters)
            self._training.checkpoints.save(state)
        return cut or steps >= budget

    def _warm_start(self, demonstrations: Demonstrations) -> None:
        settle_statistics(self.algorithm, demonstrations)
        if not isinstance(self._config, Imitating):
            return
        warm_start(
            self.algorithm,
            demonstrations,
            self._config.warm_start_steps,
            np.random.default_rng(generator_seed(self._training.seed, 0)),
            progress=lambda: self._observer.after_step(0, None, None),
            error=self._config.imitation_error,
        )

    def _origin(self) -> dict[str, Any]:
        every, lessons = self._training.checkpoint_every, self._lessons
        more = {} if lessons is None else {"demonstrations_sha256": lessons.sha256}
        return origin_of(self._config, self._training, checkpoint_every=every, **more)

    def policy(self) -> ReinforcementPolicy | NetworkPolicy:
        """The policy as it is now."""
        if self._module is None:
            return policy_of(self._config, self.algorithm)
        _check_weights(self._config, self.algorithm)
        algorithm = self.algorithm
        return NetworkPolicy(
            network_of(algorithm), algorithm.observation_space, algorithm.action_space
        )

    def _learn(self, end: int) -> bool:
        """Train to a step, or until the observer cuts it short; returns whether it did."""
        algorithm = self.algorithm
        bridge = Bridge(self._observer, self._training.budget, self.policy)
        # An on-policy algorithm logs after each rollout, the others after some episodes.
        every = 1 if isinstance(self._config, OnPolicy) else 4
        left = max(0, end - algorithm.num_timesteps)
        try:
            callbacks = [bridge, *self._schedules()]
            algorithm.learn(left, callbacks, log_interval=every, reset_num_timesteps=False)
        except BaseException as error:
            _explain(error, self._config, algorithm)
            self._observer.keep(algorithm.num_timesteps, self.policy())
            _explain_warm_up(error, self._config)
            raise
        finally:
            bridge.release()
        return bridge.cut

    def _schedules(self) -> list[BaseCallback]:
        if getattr(self._config, "ent_coef_schedule", "constant") == "constant":
            return []
        return [EntropyDecay(self._config.ent_coef, self._training.budget)]  # type: ignore[attr-defined]


def policy_of(config: Reinforcement, algorithm: BaseAlgorithm) -> ReinforcementPolicy:
    """The policy of an algorithm as it is now."""
    _check_weights(config, algorithm)
    env = algorithm.get_vec_normalize_env()
    normalizer = Normalizer.of(env) if env is not None and env.norm_obs else None
    arguments = policy_arguments(config)
    arguments.use_sde = getattr(config, "use_sde", None)
    description = Description(
        kind="stable-baselines3",
        strategy=config.name,
        policy=policy_name(algorithm.observation_space),  # type: ignore[arg-type]
        arguments=arguments,
        observation_space=to_json(algorithm.observation_space),
        action_space=to_json(algorithm.action_space),
        normalizer_clip=normalizer.clip if normalizer else None,
        normalizer_epsilon=normalizer.epsilon if normalizer else None,
    )
    return ReinforcementPolicy(description, algorithm.policy, normalizer)


def _check_weights(config: Reinforcement, algorithm: BaseAlgorithm) -> None:
    name = non_finite_weight(algorithm.policy)
    if name is not None:
        raise NonFiniteError(
            f"the update before step {algorithm.num_timesteps} made the weight {name} NaN or "
            f"infinite; lower learning_rate (now {config.learning_rate}) or scale the rewards"
        )


def _explain(error: BaseException, config: Reinforcement, algorithm: BaseAlgorithm) -> None:
    """Raise the clear error behind one of Stable-Baselines3's, if it is known."""
    _check_weights(config, algorithm)
    if "Expected parameter" in str(error):  # weights so large that torch refuses what they give
        raise NonFiniteError(
            f"the update before step {algorithm.num_timesteps} made the policy's distribution "
            f"invalid; lower learning_rate (now {config.learning_rate}) or scale the rewards"
        ) from error


def _explain_warm_up(error: BaseException, config: Reinforcement) -> None:
    if "learning_starts" in str(error):
        raise InvalidOptionError(
            f"learning_starts = {getattr(config, 'learning_starts', None)} is too small: hindsight "
            "relabelling needs one whole episode"
        ) from error
