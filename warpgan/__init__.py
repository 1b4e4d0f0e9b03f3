"""WarpGAN: one face photo in, views from other cameras out (NeurIPS 2025, arXiv 2511.08178)."""
