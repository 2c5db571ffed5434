"""D(x, l) proved for small networks: branch and bound over what enters the activations."""
