# %% [markdown]
# # What Lipschitz bounds say, and what they do not
#
# A layer that never makes a change more than L times as long has the Lipschitz constant L. §4.3 of
# the paper multiplies the constants of all layers. If the product is small beside the margins, no
# short change can matter. If it is large, nothing follows. Both halves of this are often forgotten.

# %%
import copy

import matplotlib.pyplot as plt
import torch
from torch import nn

import intriguing as it

digits = it.load_data("digits")
torch.manual_seed(0)
model = nn.Sequential(
    nn.Flatten(), nn.Linear(64, 30), nn.ReLU(), nn.Linear(30, 30), nn.ReLU(), nn.Linear(30, 10)
)
optimizer = torch.optim.Adam(model.parameters(), 0.01, weight_decay=1e-4)
for _ in range(200):
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(digits.train.images), digits.train.labels).backward()
    optimizer.step()
model.eval()
report = it.lipschitz_report(model, (1, 8, 8), data=digits.test.images[:50])
for layer in report.layers:
    bounds = f"at most {layer.upper:6.3f}   reached {layer.lower:6.3f}"
    print(f"{layer.name:3} {layer.size:8} {bounds}   {layer.formula}")
print(f"product of the layers  {report.product:.2f}")
print(f"the whole, proved      {report.upper:.2f}")
print(f"reached near an image  {report.lower:.2f}")

# %% [markdown]
# Upper bounds are proved: they hold for every image and every change, in exact arithmetic. What was
# reached is a lower bound of the true constant. The product is larger than the bound of the whole,
# because no change can be the worst for every layer.

# %%
figure, axis = plt.subplots(figsize=(7, 2.2))
names = ["product", "whole", "reached"]
axis.barh(
    names, [report.product, report.upper, report.lower], color=["tab:gray", "tab:blue", "tab:green"]
)
axis.invert_yaxis()
axis.set_xlabel("times as long")
figure.tight_layout()
assert report.lower <= report.upper <= report.product * (1 + 1e-6)

# %% [markdown]
# ## What follows: a ball without examples
#
# If a class leads by the margin m, then an adversarial example is at least m / (√2·L) away, for the
# difference of two logits changes at most √2·L times as much as the image.

# %%
images, labels = digits.test.images[:100], digits.test.labels[:100]
logits = model(images)
top = logits.topk(2, dim=1).values
read = logits.argmax(1) == labels
radius = ((top[:, 0] - top[:, 1]) / (2**0.5 * report.upper)).detach()
found = it.minimum_distortion(model, images, labels, "untargeted", budget=100)
figure, axis = plt.subplots(figsize=(4.5, 4))
axis.plot(radius[read], found.l2[read], ".")
axis.axline((0, 0), slope=1, color="gray", linestyle=":")
axis.set_xlabel("no example within (proved)")
axis.set_ylabel("nearest example found")
figure.tight_layout()
assert (found.l2[read] >= radius[read]).all()
print(f"found is {float((found.l2[read] / radius[read]).median()):.1f} times proved, in the median")

# %% [markdown]
# ## What does not follow
#
# Multiply all logits by 100. Every class stays what it was, and so does every adversarial example.
# The constant is a hundred times as large:

# %%
louder = copy.deepcopy(model)
with torch.no_grad():
    louder[5].weight *= 100
    louder[5].bias *= 100
again = it.minimum_distortion(louder, images, labels, "untargeted", budget=100)
bound = it.lipschitz_report(louder, (1, 8, 8)).upper
print(f"constants {report.upper:.1f} and {bound:.1f}")
print(f"median distances {found.l2.median():.4f} and {again.l2.median():.4f}")
assert bound > 99 * report.upper
assert abs(float(again.l2.median() / found.l2.median()) - 1) < 0.02

# %% [markdown]
# **The finding.** A constant says nothing by itself. Beside the margin it proves that examples are
# *not* near; it never proves that they are. And somebody's stated constant can be tested:
# `it.check_constant` refutes it by two images, or proves it.

# %%
checked = it.check_constant(model, (1, 8, 8), report.lower / 2, data=images)
print(checked.verdict)
assert checked.verdict == "refuted"

# %% [markdown]
# ## Exercise
#
# 1. Replace the ReLUs by `nn.Sigmoid()`, whose slope is at most ¼, and train again. What happens to
#    the product, to the bound of the whole, and to the distances found?
# 2. `it.layer_spectra(model, (1, 8, 8))` has all singular values of each layer. How many of them
#    are near the largest?
#
# [Derivations](../spectral.md). Next: [certify and sandwich](06_certify.py).
