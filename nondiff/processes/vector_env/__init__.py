"""Environments stepped in worker processes, several in each, over shared memory."""

from nondiff.envs.parallel.vector import ParallelVectorEnv

__all__ = ["ParallelVectorEnv"]
