"""The promotion gate: what a registered version must pass before it becomes the champion. One subject per file."""
