"""Any picture, any size, to any scale: `Upscaler` keeps a model open, `upscale` is the one-call form."""

from srgan.upscaler.attempts import Reopen
from srgan.upscaler.call import upscale
from srgan.upscaler.pipeline import Upscaler
from srgan.upscaler.sizes import Size, output_size

__all__ = ["Reopen", "Size", "Upscaler", "output_size", "upscale"]
