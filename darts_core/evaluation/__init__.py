"""Evaluation: how well probabilities agree with truth."""
