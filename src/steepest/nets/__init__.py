"""The textbook: networks, activations, losses, each backward under its forward; curvature, noise, gradient checks."""
