"""Inversion encoders: a photo in, style codes `ws` of the generator out.

``swin`` is the GOAE-style Swin pyramid (the paper's encoder), ``psp`` the IR-SE50 one beside it.
Both return offsets from the mean latent of the generator; ``inversion.InversionEncoder`` adds the
mean and fits the photo to the size of the encoder.
"""
