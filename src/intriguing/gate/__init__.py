"""A gate in CI: as many images as it takes to decide, and no wrong verdict more often than said."""
