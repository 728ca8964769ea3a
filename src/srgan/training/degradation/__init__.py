"""Low-resolution pictures out of high-resolution ones: plain bicubic, or the wear that pictures get in the world.

`bicubic.bicubic_down` is exact and for whole pictures. `second_order.SecondOrder` wears out batches on their device:
`kernels` blur, `resizing`, `noise`, `jpeg` and `files` (WebP and AVIF, on the CPU). `settings` describes the
strengths and loads no torch.
"""
