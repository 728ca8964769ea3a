"""How near a picture is to its reference, each figure with its protocol."""

from srgan.metrics.colour import delta_e_2000, to_lab
from srgan.metrics.fidelity import psnr, ssim, to_y

__all__ = ["delta_e_2000", "psnr", "ssim", "to_lab", "to_y"]
