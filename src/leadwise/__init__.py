"""Leadwise: calibrated probabilities of five diagnostic superclasses from a 12-lead ECG."""

from leadwise import quiet

__all__ = ["quiet"]
__version__ = "0.1.0"
