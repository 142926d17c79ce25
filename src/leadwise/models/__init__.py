"""Keras builders of the three networks; no training code."""
