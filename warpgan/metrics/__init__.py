"""Metrics of images, depth and identity, with bootstrap intervals, and the generator report."""
