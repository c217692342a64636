"""SuperSimpleNet: two heads that find noise in adapted features."""
