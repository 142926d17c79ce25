"""One recording: leads and units, quality, electrode reversal, noise, what the network sees of it."""
