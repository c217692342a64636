"""Detect regressions in quality, speed and memory overnight, or report what is undetectable."""
