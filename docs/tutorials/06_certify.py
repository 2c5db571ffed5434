# %% [markdown]
# # Certify, and sandwich
#
# A search says: *here* is an example. It never says that there is no nearer one. A certificate
# says: none is nearer than *this*, whoever looks. The truth lies between. A sandwich holds every
# image from both sides.

# %%
import matplotlib.pyplot as plt
import torch
from torch import nn

import intriguing as it

digits = it.load_data("digits")
torch.manual_seed(0)
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10))
optimizer = torch.optim.Adam(model.parameters(), 0.01, weight_decay=1e-3)
for _ in range(200):
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(digits.train.images), digits.train.labels).backward()
    optimizer.step()
model.eval()
images, labels = digits.test.images[:30], digits.test.labels[:30]

# %% [markdown]
# ## Two bounds of the same distance

# %%
both = it.sandwich(model, images, labels, budget=200)
read = both.correct
print(f"{int(read.sum())} of {len(labels)} are read correctly")
print(
    f"median certified {both.certified[read].median():.3f}, found {both.found[read].median():.3f}"
)
print(f"{both.median_ratio:.0%} of the distance found is certified, in the median")
print("examples nearer than certified:", both.violations)

# %%
order = both.found[read].argsort()
figure, axis = plt.subplots(figsize=(7, 3))
axis.vlines(
    range(len(order)), both.certified[read][order], both.found[read][order], color="lightgray"
)
axis.plot(both.found[read][order], "v", color="tab:red", label="found: an example lies here")
axis.plot(both.certified[read][order], "^", color="tab:blue", label="certified: none below")
axis.set_xlabel("image")
axis.set_ylabel("‖r‖₂")
axis.legend()
figure.tight_layout()
assert both.violations == 0
assert (both.certified[read] > 0).all()

# %% [markdown]
# A blue mark above a red one would mean that a bound is wrong. The library treats that as an
# emergency and stops (`UnsoundBound`).
#
# ## Closing the gap
#
# This network is small enough to be solved: within a region where every ReLU keeps its side the
# network is linear, and the nearest example is a convex program; branch and bound goes through the
# regions that could hold a nearer one. `prove=` gives it seconds an image.

# %%
some = read.nonzero()[:, 0][:4]
proved = it.minimum_distortion(model, images[some], labels[some], "untargeted", prove=5.0)
for k, row in enumerate(some.tolist()):
    print(
        f"image {row}: certified {both.certified[row]:.3f} ≤ truth ≤ found {both.found[row]:.3f}; "
        f"proved within {proved.gap[k]:.1%} of {proved.l2[k]:.3f}"
    )
assert (proved.l2 >= both.certified[some]).all()
assert (proved.gap <= 0.011).sum() >= 2

# %% [markdown]
# **The finding.** The search had found the nearest example, or nearly; it is the certificates that
# fall short. On a large network where nothing can be solved, that is the way to read a sandwich:
# the truth is usually near the red end, but only the blue one is a promise.

# %%
excess = float((both.found[some] / proved.l2).median() - 1)
print(f"found is {excess:.2%} above the proved optimum, in the median")
assert excess < 0.02

# %% [markdown]
# ## Exercise
#
# 1. `it.certify(model, images, labels, local=False)` leaves out the bounds around each image. How
#    much of the radius do these give?
# 2. Train with a larger `weight_decay`. Which side of the sandwich moves more?
#
# [How certificates are made](../spectral.md#certified-radius). Next: [harden a
# network](07_harden.py).
