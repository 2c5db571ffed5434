"""Do the examples made for one network fool another (§4.2)?"""

from intriguing.transfer.amplify import amplify
from intriguing.transfer.matrix import ErrorCount, count_errors, error_matrix, misread

__all__ = ["ErrorCount", "amplify", "count_errors", "error_matrix", "misread"]
