"""MEAD: the public video tree to an image folder of five views a person."""
