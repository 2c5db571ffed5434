"""What doctests are not looked for in."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("ray") else ["src/intriguing/scale/on_ray.py"]
