"""Recordings of other hospitals, to score models on: one module a dataset, its label map beside it."""
