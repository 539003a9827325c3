"""Models: loaded, fingerprinted, built in memory, written untrained."""
