"""Image folders with camera labels, and the embedded world."""
