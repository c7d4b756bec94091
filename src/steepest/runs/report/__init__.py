"""`steepest report RUN` writes an HTML report of a run. The page works offline and needs no other files.

`html.py` holds the code that the report of a sweep shares. This module does not import torch.
"""
