"""Many jobs, whose answers are files: here, by several processes, or by a Ray cluster."""
