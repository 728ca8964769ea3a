"""What a picture says beside its pixels: each kind, corrected in place, and what an enlarged picture says of itself."""
