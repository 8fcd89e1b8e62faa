"""Train neural networks against objectives that have no gradient.

Importing the package registers its environments with Gymnasium.
"""

from nondiff.working_folder import leave_out_working_folder

leave_out_working_folder()  # before anything else is imported

from importlib.metadata import version  # noqa: E402

from nondiff import envs as envs  # noqa: E402

__version__ = version("nondiff")
