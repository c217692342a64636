"""EfficientAD: a distilled teacher, a student and an autoencoder."""
