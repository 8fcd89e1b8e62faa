"""Evaluation of policies: episodes, statistics, tables, videos."""
