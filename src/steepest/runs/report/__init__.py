"""`steepest report RUN` writes one HTML page about a run. The page works offline and needs no other files.

`html.py` has what the page of a sweep shares with it. This module does not import torch.
"""
