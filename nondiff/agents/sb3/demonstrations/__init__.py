"""How reinforcement learning uses demonstrations."""
