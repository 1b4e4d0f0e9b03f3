"""Distillation of ``eg3d_mini`` from the embedded world: every ray has a true colour and depth."""
