"""Distillation of EfficientAD's teacher."""
