"""What a caller meets: a mistake of the caller's, and a bound that turned out to be wrong."""


class InputError(ValueError):
    """Wrong input, noticed before any work starts; the text names the cause and the fix."""


class JobFailed(RuntimeError):
    """An error that nobody foresaw, in another process; the text names its type."""


class UnsoundBound(ArithmeticError):
    """What was called a bound is refuted: a lower one lies above it, or an example inside it.

    Nothing that rests on it may be believed, so that the run stops. The fault is this package's, or
    that of a bound which was registered by the user; the text names the layer or the image and both
    numbers.
    """
