"""Metrics, calibration, bootstrap, figures, the results table."""
