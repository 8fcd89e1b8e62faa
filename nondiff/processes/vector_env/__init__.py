"""Environments stepped in worker processes, several in each, over shared memory."""

from nondiff.processes.vector_env.vector import ParallelVectorEnv

__all__ = ["ParallelVectorEnv"]
