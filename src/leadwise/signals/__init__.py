"""One recording: units and lead order, resampling, scaling, windows."""
