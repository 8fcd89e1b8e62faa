"""Evolution: the policy's weights are searched, and no gradient is needed.

Only this package imports `cmaes`.
"""
