"""The black-box contract, its implementations, and the Gymnasium environments made from it.

Importing this package loads torch: import it where an environment is made, not in a table.
"""

from nondiff.black_box.contract import (
    BlackBox,
    Capability,
    HasJacobian,
    HasPool,
    HasTwin,
    HasVjp,
    Start,
    capabilities,
    failed_rows,
)
from nondiff.black_box.env import BlackBoxEnv, find_black_box
from nondiff.black_box.function import FunctionBox
from nondiff.black_box.meter import BudgetSpentError, Meter
from nondiff.black_box.vector import BlackBoxVectorEnv

__all__ = [
    "BlackBox",
    "BlackBoxEnv",
    "BlackBoxVectorEnv",
    "BudgetSpentError",
    "Capability",
    "FunctionBox",
    "HasJacobian",
    "HasPool",
    "HasTwin",
    "HasVjp",
    "Meter",
    "Start",
    "capabilities",
    "failed_rows",
    "find_black_box",
]
