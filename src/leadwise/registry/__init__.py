"""Packaging and registration."""
