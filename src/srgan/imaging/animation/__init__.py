"""Animations: frames as they look on the screen, in and out, and what the three formats say of them."""
