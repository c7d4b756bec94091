"""Writes a small project of the user's: a package with a model, its configs and its tests."""
