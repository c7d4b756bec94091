"""`steepest report` writes one HTML page about a sweep. The page works offline and needs no other files.

This module does not import torch.
"""
