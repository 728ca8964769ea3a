"""New pictures from noise, the codes of pictures, and pictures from codes, by a latent model."""

from srgan.generation.call import generate
from srgan.generation.latent import LatentModel, between, noise_of

__all__ = ["LatentModel", "between", "generate", "noise_of"]
