"""Sequences of different lengths as one padded tensor."""
