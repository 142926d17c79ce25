"""Networks that turn a recording into features: one a file, all with one signature."""
