"""What the stages of an audit are called, in their order: what is cheap and can end it comes first.

Nothing that computes is imported here, so that help and errors can name them at once.
"""

NAMES = (
    "preflight",
    "accuracy",
    "attack",
    "noise",
    "target",
    "transfer",
    "spectrum",
    "certify",
    "units",
)
"""Each is the one `AuditStage` in the file of its name."""
