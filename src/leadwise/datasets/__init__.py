"""Data sets: reading, checks, the store, and a synthetic one."""
