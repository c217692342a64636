"""Study 1: Reverse Distillation with a ResNet or a ConvNeXt teacher."""
