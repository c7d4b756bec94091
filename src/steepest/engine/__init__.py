"""Compiled gradient descent: K updates of one run in one call, with what each update did as arrays. No Lightning."""
