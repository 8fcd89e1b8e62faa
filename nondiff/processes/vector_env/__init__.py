"""A vectorized environment over worker processes with shared memory."""

from nondiff.processes.vector_env.vector import ParallelVectorEnv

__all__ = ["ParallelVectorEnv"]
