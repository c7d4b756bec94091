"""`steepest report`: a sweep as one self-contained HTML page, which needs no other files and no network.

This module does not import torch.
"""
