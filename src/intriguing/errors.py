"""The one exception a caller meets for a mistake of the caller's."""


class InputError(ValueError):
    """Wrong input, noticed before any work starts; the text names the cause and the fix."""
