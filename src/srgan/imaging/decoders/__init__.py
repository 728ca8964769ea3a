"""From the bytes of a file to `Stored`, the values as the file has them: one module for each library or format.

A decoder knows nothing of colour, orientation and alpha: `srgan.imaging.reading` makes a `Picture` of what it gives.
"""
