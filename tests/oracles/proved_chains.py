"""Small networks whose distances are proved, asked for more than is true."""

import itertools
import math

import torch
from torch import nn

from intriguing import certify, minimum_distortion
from intriguing.distortion.problem import Goal
from intriguing.measures import UNIT_BOX
from intriguing.spectral.certificates.exact import Exact, prove
from intriguing.spectral.certificates.sandwich import ROUNDING
from tests.oracles.refutation import Verdict

SECONDS = 2.0
"""Of a proof that cannot succeed, for each image."""
BEYOND = -0.01
"""The gap asked for: nothing within 1.01 of what was found."""
PASSES = 2000
ACTIVATIONS = (nn.ReLU(), nn.LeakyReLU(0.2), nn.Tanh(), nn.Sigmoid(), nn.GELU(), nn.Softplus())


def network(seed: int) -> nn.Sequential:
    """One to three hidden layers of up to 12 units, weights of ordinary and of odd sizes."""
    torch.manual_seed(seed)
    activation = ACTIVATIONS[seed % len(ACTIVATIONS)]
    sizes = [16, *torch.randint(3, 13, (int(torch.randint(1, 4, ())),)).tolist(), 3]
    if seed % 4 == 3:
        pooled = nn.Conv2d(1, 2, 2), nn.ReLU(), nn.MaxPool2d(2, 1), nn.Flatten(), nn.Linear(8, 3)
        net = nn.Sequential(*pooled)
    else:
        layers: list[nn.Module] = [nn.Flatten()]
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Linear(before, after), activation]
        net = nn.Sequential(*layers[:-1])
    size = (0.3, 1.0, 3.0, 30.0)[int(torch.randint(4, ()))]
    for parameter in net.parameters():
        parameter.data.mul_(size)
    return net.eval()


def proved(seed: int) -> Verdict:
    """Whether a proof at 1.01 of what is found, or a radius by multipliers, goes too far."""
    net, images = network(seed), torch.rand(2, 1, 4, 4)
    with torch.no_grad():
        labels = net(images).argmax(1)
    found = minimum_distortion(net, images, labels, "untargeted", budget=PASSES)
    goal = Goal(labels, targeted=False)
    exact = Exact.of(net, images, UNIT_BOX)
    made = prove(exact, images, goal, found, UNIT_BOX, seconds=SECONDS, gap=BEYOND)
    radii = certify(net, images, labels, multipliers=True).radius.double()
    nearest = made.distortions.l2.double() * (1 + ROUNDING)
    for name, lower in (("proved", made.lower), ("multipliers", radii)):
        if bool((lower > nearest).any()):
            worst = int((lower / nearest).argmax())
            detail = f"{name} {float(lower[worst]):.7g}, found {float(nearest[worst]):.7g}"
            return Verdict("refuted", detail)
    known = found.success & (found.l2 > 0)
    tight = (made.lower / nearest)[known]
    return Verdict("certified", tightness=float(tight.median()) if len(tight) else math.nan)
