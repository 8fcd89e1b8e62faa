"""Pathwise gradients: the policy's loss is differentiated through an operator for the black box."""
