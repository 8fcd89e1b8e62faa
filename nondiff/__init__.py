"""Train neural networks against objectives that have no gradient.

Importing the package registers its environments with Gymnasium.
"""

from importlib.metadata import version

from nondiff import envs as envs

__version__ = version("nondiff")
