"""An image's result is the same to the bit alone, in any batch, at any place of it.

The differences hide: one processor rounds a product of one row otherwise, another does not. So the
searches are compared as they are on the processor at hand, under every instruction set it has, and
every kernel they start is watched for the number of rows it is given.
"""

import os
import subprocess
import sys
from dataclasses import fields
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import intriguing
from intriguing.distortion.methods import METHODS
from intriguing.models.classifier import Classifier
from intriguing.units.activations import layer_features
from tests.machines.networks import NETWORKS, PIXELS, images

BUDGETS = {"closest": 40, "paper": None, "cw": 18, "deepfool": 20, "noise": 12}
MOST = 17
WIDTH = 16


def search(network, method, count, size, targeted=True, levels=None, budgets=BUDGETS):
    """The first `count` images, `size` at a time."""
    x, targets = images(count)
    goal = targets if targeted else "untargeted"
    labels = torch.zeros(count, dtype=torch.long)
    if not targeted:
        labels = network(x).argmax(1)
    return intriguing.minimum_distortion(
        network, x, labels, goal, method,
        budget=budgets.get(method, 12), batch_size=size, levels=levels,
        config=intriguing.PaperConfig(max_solves=6) if method == "paper" else None,
    )  # fmt: skip


def differing(few, whole):
    """Names of the columns in which the first rows of two results are not the same bits."""
    columns = [(f.name, getattr(few, f.name), getattr(whole, f.name)) for f in fields(few)]
    return [
        name
        for name, a, b in columns
        if isinstance(a, Tensor)
        and not torch.equal(a.nan_to_num(nan=-1.0), b[: len(few)].nan_to_num(nan=-1.0))
    ]


@cache
def together(name, method, targeted, levels, threads):
    return search(NETWORKS[name](), method, MOST, MOST, targeted, levels)


@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from(sorted(NETWORKS)),
    method=st.sampled_from(["closest", "closest", "closest", *METHODS]),
    size=st.integers(1, MOST),
    targeted=st.booleans(),
    levels=st.sampled_from([None, None, 256]),
    threads=st.integers(1, 2),
)
def test_the_same_in_batches_of_any_size(name, method, size, targeted, levels, threads):
    targeted = targeted or method == "paper"
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        count = min(MOST, 2 * size + 1)
        apart = search(NETWORKS[name](), method, count, size, targeted, levels)
        whole = together(name, method, targeted, levels, threads)
    finally:
        torch.set_num_threads(before)
    assert not differing(apart, whole)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", ["smooth", "kinked"])
def test_logits_and_activations_do_not_depend_on_the_others(name, threads):
    network, (x, labels) = NETWORKS[name](), images(40)
    layer = {"smooth": "2", "kinked": "6"}[name]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        features = layer_features(network, layer, x)
        for count in (1, 2, 17, 33):
            alone = layer_features(network, layer, x[:count], batch_size=count)
            assert torch.equal(alone, features[:count])
        if name == "smooth":
            proofs = intriguing.certify(network, x, labels, semidefinite=False, local=False)
            for count in (1, 33):
                few = intriguing.certify(
                    network, x[:count], labels[:count], semidefinite=False, local=False
                )
                assert torch.equal(few.margin, proofs.margin[:count])
                assert torch.equal(few.radius, proofs.radius[:count])
    finally:
        torch.set_num_threads(before)


SCRIPT = """
import torch
from tests.machines.test_any_batch import NETWORKS, differing, search
for threads, sizes in ((1, (1,)), (2, (1, 2, 5, 16))):
    torch.set_num_threads(threads)
    for name, method in (("smooth", "closest"), ("smooth", "paper"), ("kinked", "closest")):
        network, targeted = NETWORKS[name](), name == "kinked" or method == "paper"
        whole = search(network, method, 17, 17, targeted)
        for size in sizes:
            few = search(network, method, min(17, size + 1), size, targeted)
            wrong = differing(few, whole)
            assert not wrong, (threads, name, method, size, wrong)
print(torch.backends.cpu.get_cpu_capability())
"""


INSTRUCTIONS = ["default", "avx2", "avx512"]


@pytest.mark.parametrize("capability", INSTRUCTIONS)
def test_the_same_under_every_instruction_set(capability):
    # Asked for instructions that it does not have, a processor ends the process.
    if INSTRUCTIONS.index(capability) > INSTRUCTIONS.index(
        torch.backends.cpu.get_cpu_capability().lower()
    ):
        pytest.skip(f"this processor has no {capability}")
    script = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        capture_output=True,
        text=True,
        env={**os.environ, "ATEN_CPU_CAPABILITY": capability},
        timeout=600,
    )
    assert not script.returncode, script.stderr
    assert script.stdout.strip().lower() == capability


PRODUCTS = {
    "mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "dot", "vdot", "linalg_cholesky_ex",
    "cholesky_solve", "linalg_solve_ex", "_linalg_solve_ex", "linalg_vecdot", "convolution",
}  # fmt: skip
REDUCTIONS = {"sum", "mean", "norm", "linalg_vector_norm", "prod", "logsumexp"}
# Computed by vectors to the last value, or not: these must not be used by a search at all.
WHOLE = {"exp", "log", "tanh", "_log_softmax", "_softmax"}
PARTED = {
    "sigmoid", "pow", "atanh", "asinh", "acosh", "sin", "cos", "erf", "log_sigmoid_forward",
    "softplus", "silu", "gelu", "exp2",
}  # fmt: skip


LOOKS = 12
"""Calls at most that look at a network, before any search."""


class Watched(nn.Module):
    """A network that says when it is running, and how many images it was given.

    Before the first group come the looks that are taken at a network before any search.
    """

    def __init__(self, network):
        super().__init__()
        self.network, self.asked, self.least = network, [], 1
        self.state = {"running": False}  # shared with faster forms of it

    @property
    def running(self):
        """Whether it is being asked."""
        return self.state["running"]

    @property
    def searched(self):
        """Whether a group has gone through it."""
        return any(asked >= self.least for asked in self.asked)

    def forward(self, x):
        self.asked.append(len(x))
        self.state["running"] = True
        try:
            return self.network(x)
        finally:
            self.state["running"] = False


class Watch(TorchDispatchMode):
    """Names the kernels outside of the network that were given too few rows.

    The way back through the network is not told apart by its time, but has the shapes of weights;
    it is tried from how many images on that rounds alike (`models.small_groups`).
    """

    def __init__(self, network):
        super().__init__()
        self.network, self.few = network, set()
        self.weights = {tuple(w.shape) for w in network.parameters() if w.ndim > 1}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        name, shapes = func._schema.name.split("::")[1], shapes_of(args)
        if self.network.searched and not self.network.running and shapes:
            self.look(name, args, shapes)
        return out

    def look(self, name, args, shapes):
        rows = next((shape for shape in shapes if len(shape) > 1), shapes[0])[0]
        plain = name.rstrip("_")
        if rows >= self.network.least and not self.weights.isdisjoint(shapes):
            return
        over_pixels = plain in REDUCTIONS and shapes[0][-1] == PIXELS and len(shapes[0]) > 1
        if (plain in PRODUCTS | WHOLE or over_pixels) and rows % WIDTH:
            self.few.add((name, tuple(shapes)))
        if plain in PARTED and not (plain == "pow" and isinstance(args[1], int)):
            self.few.add((name, tuple(shapes)))


def shapes_of(args):
    flat = [x for arg in args for x in (arg if isinstance(arg, list | tuple) else [arg])]
    return [tuple(x.shape) for x in flat if isinstance(x, Tensor) and x.ndim]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("name", "group"), [("smooth", 32), ("kinked", 16)])
def test_no_kernel_sees_few_rows(method, name, group):
    for count, targeted in ((1, True), (2, False), (3, True), (17, False)):
        network = Watched(NETWORKS[name]()).eval()
        given = Classifier.of(network)
        forms = (given, given.faster(lambda: images(4)[0]))
        least = network.least = min(form.sizes(images(1)[0]).least for form in forms)
        network.asked.clear()
        with Watch(network) as watch:
            levels = 256 if count == 3 else None
            budgets = {**BUDGETS, "closest": 170 if count == 3 else 40}
            targeted |= method == "paper"
            search(network, method, count, count, targeted, levels, budgets)
        assert not watch.few
        assert set(network.asked[LOOKS:]) <= set(range(least, group + 1))
