# %% [markdown]
# # The paper's search over c, watched
#
# The nearest image that is taken for class l is a constrained problem: the shortest r with f(x + r)
# = l. The paper makes it a penalty instead (§4.1): for a given c it minimises
#
#     c·‖r‖² + loss(x + r, l)    with every pixel of x + r in [0, 1]
#
# by box-constrained L-BFGS, and searches for the right c. A large c wants a short change, and
# leaves the image what it was; a small c wants class l, at any price. Between them is the largest c
# whose minimiser is still misread.

# %%
import matplotlib.pyplot as plt
import torch
from torch import nn

import intriguing as it

digits = it.load_data("digits")
torch.manual_seed(0)
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 30), nn.Sigmoid(), nn.Linear(30, 10))
optimizer = torch.optim.Adam(model.parameters(), 0.03, weight_decay=1e-4)
for _ in range(200):
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(digits.train.images), digits.train.labels).backward()
    optimizer.step()
model.eval()
image, label = digits.test.images[:1], digits.test.labels[:1]
target = (label + 3) % 10
print(f"make a {int(target)} of a {int(label)}")

# %% [markdown]
# ## One c after another
#
# `minimize_in_box` is the solver alone: many problems at once, each with its own c. We give it the
# loss, and 40 values of c for the same image.


# %%
def evaluate(points, rows):
    points = points.detach().requires_grad_()
    losses = nn.functional.cross_entropy(
        model(points.view(-1, 1, 8, 8)), target.expand(len(points)), reduction="none"
    )
    (gradients,) = torch.autograd.grad(losses.sum(), points)
    return losses.detach(), gradients


weights = torch.logspace(-3, 1.5, 40)
start = image.flatten(1).expand(40, -1)
minima = it.minimize_in_box(evaluate, start, it.Box(0.0, 1.0), anchor=start, c=weights)
lengths = (minima.points - start).norm(dim=1)
becomes = model(minima.points).argmax(1) == target
largest = float(weights[becomes].max())
print(f"the largest of these c that still succeeds is {largest:.4f}")
assert becomes[0]
assert not becomes[-1]

# %%
figure, axis = plt.subplots(figsize=(7, 3))
axis.semilogx(
    weights[becomes], lengths[becomes], "o", color="tab:red", label=f"read as {int(target)}"
)
axis.semilogx(weights[~becomes], lengths[~becomes], "o", color="tab:blue", label="not yet")
axis.set_xlabel("c")
axis.set_ylabel("‖r‖₂ of the minimiser")
axis.legend()
figure.tight_layout()

# %% [markdown]
# **The finding.** As c grows the change gets shorter, until it is too short. The wanted c is where
# red ends. The paper writes "the minimum c"; as the formula is printed, with c at the change, it is
# the maximum.
#
# ## The search
#
# Forty minimisations are many. The library's search looks at each minimiser, guesses from its slope
# where the margin would be 0, and needs a handful. `trace` keeps c, ‖r‖₂ and the margin of each.

# %%
found = it.minimum_distortion(model, image, label, targets=target, method="paper")
trace = found.trace[0]
trace = trace[trace[:, 0].isfinite()]
for step, (c, length, margin) in enumerate(trace.tolist(), 1):
    print(f"{step}: c = {c:.4f}, ‖r‖₂ = {length:.4f}, margin {margin:+.4f}")
print(f"kept: ‖r‖₂ = {found.l2[0]:.4f}, after {found.passes[0]:.0f} passes")
assert abs(float(found.c[0]) / largest - 1) < 0.3
assert len(trace) < 15

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3))
left.semilogy(range(1, len(trace) + 1), trace[:, 0], "o-")
left.set_xlabel("minimisation")
left.set_ylabel("c")
right.plot(range(1, len(trace) + 1), trace[:, 1], "o-", color="tab:green")
right.axhline(float(found.l2[0]), color="gray", linestyle=":")
right.set_xlabel("minimisation")
right.set_ylabel("‖r‖₂")
figure.tight_layout()

# %% [markdown]
# ## Is it the nearest?
#
# No. A minimiser of the penalty lies a little beyond the boundary, and c is known to 2 % only.
# `method="closest"` walks along the boundary itself:

# %%
closest = it.minimum_distortion(model, image, label, targets=target)
print(f"paper {found.l2[0]:.4f}, closest {closest.l2[0]:.4f}")
assert closest.l2[0] <= found.l2[0] * 1.001

# %% [markdown]
# [The playground](../playground.md) shows this search for a digit that you draw; [minimum
# distortion](../minimum-distortion.md) derives the solver and the rule for c.
#
# ## Exercise
#
# 1. `PaperConfig(penalty="norm")` minimises c·‖r‖ + loss, which is what the paper prints: pass it
#    as `config=it.PaperConfig(penalty="norm")`. Is the length another one?
# 2. Ask for all classes, `targets="all"`, and look at `found.per_class`: how far is each class from
#    this digit?
#
# Next: [transfer between your own networks](03_transfer.py).
