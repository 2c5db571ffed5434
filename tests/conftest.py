"""Shared by all tests."""

import torch

# Tensors here are small: more threads would only wait for each other, badly so beside other work.
torch.set_num_threads(1)
