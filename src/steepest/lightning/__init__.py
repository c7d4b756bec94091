"""Lightning's glue: modules, data module, the callback that drives a run; `internals.py` has its private parts."""
