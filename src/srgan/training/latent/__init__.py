"""Recipe `latent`: from noise to pictures of 64 pixels, and from those to 512 (AEGAN).

Four phases, one after the other, each with a run of its own in the folder of the whole: an autoencoder, its decoder,
the GAN that makes codes, and the refiner. `srgan.training.latent.recipe` says how they follow each other.
"""
