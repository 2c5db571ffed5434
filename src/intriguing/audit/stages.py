"""The stages of an audit in their order; another question is a file, and a line here.

What is cheap and can end an audit early comes first.
"""

from intriguing.audit.accuracy import Accuracy
from intriguing.audit.attack import Attack
from intriguing.audit.certify import Certify
from intriguing.audit.noise import Noise
from intriguing.audit.preflight import Preflight
from intriguing.audit.spectrum import Spectrum
from intriguing.audit.stage import AuditStage
from intriguing.audit.target import Target
from intriguing.audit.transfer import Transfer
from intriguing.audit.units import Units

STAGES: tuple[type[AuditStage], ...] = (
    Preflight,
    Accuracy,
    Attack,
    Noise,
    Target,
    Transfer,
    Spectrum,
    Certify,
    Units,
)
