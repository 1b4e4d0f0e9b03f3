"""The parts of ``python -m warpgan.synthesize``: photos in, pictures of novel views out."""
