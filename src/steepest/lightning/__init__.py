"""What connects the package to Lightning: modules, data module, callback; private interfaces in `internals.py`."""
