"""One run: specs, checking and trust, stop rules, best epoch, checkpoints, record; a driver without Lightning."""
