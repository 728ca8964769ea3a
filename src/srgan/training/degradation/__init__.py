"""Low-resolution pictures out of high-resolution ones: plain bicubic, or the wear that pictures get in the world.

`bicubic.bicubic_down` is exact and for whole pictures. `second_order.SecondOrder` wears out batches on their device:
`kernels` blur, `resizing`, `noise`, `jpeg` and `files` (WebP and AVIF, on the CPU). `mixed.Mixed` takes each sample
from one of several origins: that one, a `phone`, the `web`, a `scan`, a `screen` or a `still`, which work on 8-bit
pictures with `packing` (real files) and `luck`. `settings`, `origins` and `ranges` describe the strengths and
load no torch.
"""
