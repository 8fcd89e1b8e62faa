"""Comparisons of strategies at equal budgets."""
