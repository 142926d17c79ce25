"""Fitting, checkpoints, tuning, prediction over the store."""
