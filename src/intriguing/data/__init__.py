"""Images in: one file per source, every image with a stable id, every set with a digest."""
