"""Draws and words what was computed: figures, the ECG on paper, HTML pages, run summaries."""
