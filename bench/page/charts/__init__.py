"""Charts of the page as SVG, made in Python: they print, and need no script."""
