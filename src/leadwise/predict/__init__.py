"""``leadwise predict``: what the champion says of ECG files, as a table, as JSON, or as a figure."""
