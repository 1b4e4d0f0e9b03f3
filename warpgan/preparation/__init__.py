"""From any photo to an upright crop and its camera."""
