"""A whole grid of runs trained as one model: what fits, the training, and each run's own folder."""
