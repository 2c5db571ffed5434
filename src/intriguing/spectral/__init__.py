"""How far each layer and the whole network can carry a small change: bounds that bound (§4.3)."""
