# %% [markdown]
# # Harden a network
#
# The paper ends §4.2 with a claim: a network that keeps learning from its own adversarial examples
# generalizes better. §4.3 ends with a suggestion: penalise every layer's Lipschitz bound. Both are
# one argument here. Do they help, and what against?
#
# Three networks that begin with the same weights and see the same images as often: a plain one, one
# with a *pool* (adversarial examples of itself, a slot for each image, renewed as it learns), one
# with the spectral penalty.

# %%
import matplotlib.pyplot as plt
import torch
from torch import nn

import intriguing as it

digits = it.load_data("digits")
train, test = digits.train, digits.test


def trained(layers=(), penalty=0.0):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 30), nn.ReLU(), nn.Linear(30, 10))
    it.train_with_pools(
        model, train.images, train.labels, layers, decay=1e-5, penalty=penalty, seed=0,
        schedule=it.Schedule(25, rate=0.2, batch_size=50),
    )  # fmt: skip
    return model.eval()


networks = {
    "plain": trained(),
    "pool": trained([it.Place("input", radius=0.8)]),
    "penalty": trained(penalty=0.1),
}

# %% [markdown]
# ## Is it really harder?
#
# A network may *look* hard because it hides its gradients from the search that it was trained with.
# So the judge is a search that had no part in the training, on images that had none either, and
# beside it a certificate, which no trick deceives.

# %%
images, labels = test.images[:60], test.labels[:60]
print(f"{'':10}{'error':>8}{'found':>8}{'certified':>11}")
lengths = {}
for name, model in networks.items():
    error = float((model(test.images).argmax(1) != test.labels).float().mean())
    both = it.sandwich(model, images, labels, budget=100)
    lengths[name] = both.found, both.certified
    print(f"{name:10}{error:8.1%}{both.found.median():8.3f}{both.certified.median():11.3f}")

# %%
figure, axis = plt.subplots(figsize=(6.5, 3))
for name, (found, _) in lengths.items():
    ordered = found.sort().values
    axis.plot(ordered, 1 - torch.arange(len(ordered)) / len(ordered), label=name, drawstyle="steps")
axis.set_xlabel("‖r‖₂")
axis.set_ylabel("share not fooled within")
axis.legend()
figure.tight_layout()
plain, pool, penalty = lengths.values()
assert pool[0].median() > 1.15 * plain[0].median()
assert penalty[1].median() > 1.15 * plain[1].median()

# %% [markdown]
# **The finding.** The pool moves the nearest examples away. The penalty moves the proof, and here
# the examples with it. Neither makes a network that cannot be fooled: every image still has an
# example, only farther. Whether the error gets smaller is another question, which takes all of
# MNIST and five seeds ([what was measured](../hardening.md#what-was-measured)).
#
# Were the examples only hidden? `preflight` looks for zero, misleading or random gradients:

# %%
for name, model in networks.items():
    print(f"{name:10}", [warning.name for warning in it.preflight(model, images[:8])])

# %% [markdown]
# ## Exercise
#
# 1. Give `layers=[it.Place("input", radius=0.8), it.Place("2", radius=0.3)]`: a pool at the hidden
#    layer as well. What does it add?
# 2. The control: `config=it.PoolConfig(search="gaussian")` fills the pool with noise as long as the
#    examples. How much of the gain is left?
#
# Next: [audit an ONNX model](08_audit_onnx.py).
