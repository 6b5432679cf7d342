"""The GAN that draws digits: models, images, losses, the judge of its quality, and one trial of its training."""
