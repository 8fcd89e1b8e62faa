"""Trains a network along pathwise gradients."""

from __future__ import annotations

from typing import Any

import gymnasium

from nondiff.agents.capabilities import check_values, needed_black_box
from nondiff.agents.iterations import Learner, new_module, run
from nondiff.agents.pathwise.active import SurrogateLearner
from nondiff.agents.pathwise.configs import Direct, Pathwise, Surrogate
from nondiff.agents.pathwise.direct import DirectLearner
from nondiff.agents.pathwise.expansions import ExpansionLearner
from nondiff.agents.pathwise.operators import gives_jacobians
from nondiff.agents.policies.network import NetworkPolicy
from nondiff.agents.strategy import Observer, Training
from nondiff.black_box import BlackBox, HasJacobian
from nondiff.errors import InvalidOptionError

__all__ = ["check", "train"]  # what `Strategy` asks of a trainer


def check(config: Pathwise, env: gymnasium.Env[Any, Any]) -> None:
    """Refuse an environment without the capability; see `Strategy.check`."""
    check_values(config)
    box = needed_black_box(config, env)
    if isinstance(config, Surrogate) and config.jacobians and not isinstance(box, HasJacobian):
        raise InvalidOptionError(
            "surrogate: jacobians = True, but this black box has no method `jacobian`"
        )


def train(config: Pathwise, training: Training, observer: Observer) -> NetworkPolicy:
    """Train until the budget of calls is spent or the observer ends it; see `Strategy.train`."""
    with training.recipe.opened() as env:
        box = needed_black_box(config, env)
        module = new_module(training, env, config.net_arch, config.activation)
        policy = NetworkPolicy(module, env.observation_space, env.action_space)
        learner: Learner
        if isinstance(config, Surrogate):
            learner = SurrogateLearner(config, box, module, training)
        else:
            assert isinstance(config, Direct)
            kind = ExpansionLearner if expands(config, box) else DirectLearner
            learner = kind(config, box, module, training)
        return run(config, training, observer, learner, policy)


def expands(config: Direct, box: BlackBox) -> bool:
    """Whether calls are used again through their Jacobians."""
    return config.reuse > 1 and box.horizon == 1 and gives_jacobians(config, box)
