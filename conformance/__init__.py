"""A conformance suite for image upscalers: does everything around the network survive?

It judges any upscaler by its command line alone, from outside::

    python -m conformance --command 'srgan upscale {input} {output} --scale 4'

Every row makes an input with a known answer, runs the command in an empty folder, and measures what came out. It needs
numpy, Pillow, tifffile and pyvips, and nothing of srgan.
"""
