"""THE table of strategies: one line per name.

Entries are strings, so that a learning library is imported only when it is used.
"""

from __future__ import annotations

if __name__ != "nondiff.agents":
    raise ImportError(
        f"{__name__!r} is a link in the checkout, not a package: use 'import nondiff.agents'"
    )

from importlib import import_module
from typing import TYPE_CHECKING

from nondiff.errors import UnknownNameError

if TYPE_CHECKING:
    from nondiff.agents.strategy import Strategy

STRATEGIES: dict[str, str] = {
    "ppo": "nondiff.agents.sb3.algorithms.ppo:PPO",
    "a2c": "nondiff.agents.sb3.algorithms.a2c:A2C",
    "trpo": "nondiff.agents.sb3.algorithms.trpo:TRPO",
    "sac": "nondiff.agents.sb3.algorithms.sac:SAC",
    "td3": "nondiff.agents.sb3.algorithms.td3:TD3",
    "tqc": "nondiff.agents.sb3.algorithms.tqc:TQC",
    "ddpg": "nondiff.agents.sb3.algorithms.ddpg:DDPG",
    "crossq": "nondiff.agents.sb3.algorithms.crossq:CrossQ",
    "dqn": "nondiff.agents.sb3.algorithms.dqn:DQN",
    "qrdqn": "nondiff.agents.sb3.algorithms.qrdqn:QRDQN",
    "surrogate": "nondiff.agents.pathwise.configs:Surrogate",
    "manual": "nondiff.agents.pathwise.configs:Manual",
    "finite-difference": "nondiff.agents.pathwise.configs:FiniteDifference",
    "autodiff": "nondiff.agents.pathwise.configs:Autodiff",
    "cma-es": "nondiff.agents.evolution.configs:CMAES",
}


def find_strategy(name: str) -> type[Strategy]:
    """The class of a strategy.

    Raises:
        UnknownNameError: no such strategy.
    """
    if name not in STRATEGIES:
        raise UnknownNameError("strategy", name, STRATEGIES)
    module, _, attribute = STRATEGIES[name].partition(":")
    found: type[Strategy] = getattr(import_module(module), attribute)
    return found
