"""Image super-resolution: larger, better pictures."""
