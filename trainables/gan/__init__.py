"""The GAN that draws digits: models, images, losses, the judges of its quality, one trial."""
