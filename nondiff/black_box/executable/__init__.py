"""One's own program as a black box, in about ten lines."""

from nondiff.envs.executable.box import Executable
from nondiff.envs.executable.expressions import Last
from nondiff.envs.executable.quantities import Quantity

__all__ = ["Executable", "Last", "Quantity"]
