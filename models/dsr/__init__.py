"""DSR: defects drawn among the codes of a pretrained VQ-VAE, and the networks that find them."""
