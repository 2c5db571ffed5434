"""Running an analysis over many images in shards that survive the process."""
