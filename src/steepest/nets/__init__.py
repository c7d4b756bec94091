"""The textbook formulas: networks, activations, losses, each backward under its forward; curvature, gradient checks."""
