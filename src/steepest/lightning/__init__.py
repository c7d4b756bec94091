"""The connection to Lightning: modules, data module, callback; private interfaces are used in `internals.py` only."""
