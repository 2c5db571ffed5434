"""What the units of a layer respond to, in the natural and in other bases (§3)."""
