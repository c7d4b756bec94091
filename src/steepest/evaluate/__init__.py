"""Predictions -> scores of the model and of the baselines, on the same samples -> a verdict."""
