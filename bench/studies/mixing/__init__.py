"""Study 2: ResNet50 and ViT-S/16 under MixUp and CutMix."""
