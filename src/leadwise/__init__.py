"""Leadwise: calibrated probabilities of five diagnostic superclasses from a 12-lead ECG."""

__version__ = "0.1.0"
