"""Inversion encoders: a photo in, style codes `ws` of the generator out.

``swin`` is the GOAE-style Swin pyramid (the paper's encoder), ``psp`` the IR-SE50 one beside it.
Both return offsets from the generator's mean latent;
:class:`~warpgan.encoders.inversion.InversionEncoder` adds the mean and fits the photo to the encoder's size.
"""
