"""Shared by all tests."""

import os

import scipy.stats  # noqa: F401  (imported at first use, which would be in some test's time)
import torch

from intriguing.scale.engine import steady_sums

# As the command line sets it: what tests compute and what commands they start compute adds alike,
# also after a test that has called the command line in this process.
if sums := steady_sums():
    os.environ.setdefault("MKL_CBWR", sums)

# Tensors here are small: more threads would only wait for each other, badly so beside other work.
torch.set_num_threads(1)
