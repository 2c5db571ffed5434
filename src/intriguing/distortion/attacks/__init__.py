"""Other methods of the field to compare with: one function a file, each with its source.

Each is written from its paper for the L2 norm, starts at x, and speaks the protocol `Attack`
under `@attack`. Where a paper takes pixels from 0 to 1, lengths are scaled by the width of the box.
"""
