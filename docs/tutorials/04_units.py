# %% [markdown]
# # Units, and a blind quiz
#
# A common way to understand a layer is to look, for each unit, at the images that excite it most.
# They share a slant or a stroke, and the unit gets a name. §3 of the paper does the same with a
# *random direction* of the layer's space and finds such images equally related. Try it yourself
# before you are told.

# %%
import matplotlib.pyplot as plt
import torch
from torch import nn

import intriguing as it

digits = it.load_data("digits")
torch.manual_seed(0)
model = nn.Sequential(
    nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10)
)
optimizer = torch.optim.Adam(model.parameters(), 0.01, weight_decay=1e-4)
for _ in range(200):
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(digits.train.images), digits.train.labels).backward()
    optimizer.step()
model.eval()
for layer in it.list_layers(model, (1, 8, 8)):
    print(f"{layer.name:>3} {layer.kind:8} {layer.units} units")

# %% [markdown]
# ## The quiz
#
# Layer `4` is the highest hidden one. `top_images` ranks all images for each direction of one or
# several bases: `natural` are the units, `random` a random rotation of them. Six rows, nine images
# each. Three rows are units, three are random directions. Which?

# %%
tops = it.top_images(model, "4", digits.test, ["natural", "random"], k=9)
natural, random = tops["4", "natural"], tops["4", "random"]
lively = (natural.values[:, -1] > 0).nonzero()[:, 0][:3].tolist()
rows = [("unit", natural.indices[k]) for k in lively] + [
    ("random direction", random.indices[k]) for k in range(3)
]
order = torch.randperm(6, generator=torch.Generator().manual_seed(4)).tolist()
figure, axes = plt.subplots(6, 9, figsize=(7, 5))
for line, place in zip(axes, order, strict=True):
    for axis, index in zip(line, rows[place][1].tolist(), strict=True):
        axis.imshow(digits.test.images[index, 0], cmap="gray_r")
        axis.set_xticks([])
        axis.set_yticks([])
for number, line in enumerate(axes, 1):
    line[0].set_ylabel(number, rotation=0, labelpad=10, va="center")
figure.tight_layout()

# %% [markdown]
# Decide before you go on. The answers:

# %%
for number, place in enumerate(order, 1):
    print(number, rows[place][0])

# %% [markdown]
# ## From a picture to a test
#
# Pictures persuade, but they do not decide. How pure are the labels of the nine images, averaged
# over all units, and over all random directions? And is the difference more than networks *before
# training* have, where nothing is learned? "No distinction" is a claim that two things are equal
# within a margin δ that is fixed beforehand.

# %%
claim = it.compare_bases(model, "4", digits.test, rotations=39, untrained=4)
(layer,) = claim.layers
low, high = layer.interval
print(f"purity of units {layer.natural:.2f}, of random directions {layer.random:.2f}")
print(f"difference {layer.difference:+.3f} (95 % {low:+.3f} to {high:+.3f}), margin ±{claim.delta}")
print(f"verdict: {layer.verdict}")
assert abs(layer.difference) < 0.2
assert layer.verdict in ("no distinction", "not decided")

# %% [markdown]
# **The finding.** Units are not far from random directions, whatever the names that we gave them. A
# network this small, with one seed, may leave the test undecided; with more seeds (give several
# networks) it says more. [Units](../units.md) explains the two nulls, and how often the test errs.
#
# `intriguing units net.safetensors digits --layer relu2` leaves a page with thousands of directions
# and this quiz, which keeps your score.
#
# ## Exercise
#
# 1. Take layer `2` instead. Does the verdict change?
# 2. Give a basis of your own: `it.top_images(model, "4", digits.test, model[5].weight.detach())`
#    ranks images by the ten directions that the last layer reads. Why are these so much purer?
#
# Next: [what Lipschitz bounds say](05_lipschitz.py).
