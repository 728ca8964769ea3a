"""Writers that take a picture strip by strip. `srgan.imaging.encoding` chooses one, or Pillow for whole pictures."""
