"""Ways from one photo to new views, all behind ``base.Method``."""
