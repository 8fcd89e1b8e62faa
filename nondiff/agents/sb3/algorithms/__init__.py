"""The algorithms of Stable-Baselines3 and sb3-contrib: a file each, which imports neither.

Adding one is its file here and its line in `nondiff.agents.STRATEGIES`.
"""

from nondiff.agents import STRATEGIES
from nondiff.lazy_names import lazy_names

_PLACES = (place.partition(":") for place in STRATEGIES.values())
__getattr__, __dir__ = lazy_names(
    globals(), {name: module for module, _, name in _PLACES if module.startswith(__name__)}
)
