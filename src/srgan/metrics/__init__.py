"""How near a picture is to its reference, each figure with its protocol."""

from srgan.metrics.fidelity import psnr, ssim, to_y

__all__ = ["psnr", "ssim", "to_y"]
