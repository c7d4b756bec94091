"""Compiled gradient descent: K updates of one run in one call, with arrays of each update's results. Lightning-free."""
