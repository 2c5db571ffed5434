"""D(x, l), the heart: the smallest change of an image that makes the classifier say l."""
