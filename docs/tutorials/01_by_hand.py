# %% [markdown]
# # A first adversarial example, by hand
#
# A network that reads digits well can be made to misread one by a change that you would not notice.
# You need no library for that: ten lines of PyTorch do. Then we let the library do it, and see what
# the ten lines missed.
#
# First a network. It takes images with pixels in [0, 1] and gives logits, one for each class;
# nothing else is asked of it.

# %%
import matplotlib.pyplot as plt
import torch
from torch import nn

import intriguing as it

digits = it.load_data("digits")
torch.manual_seed(0)
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 40), nn.ReLU(), nn.Linear(40, 10))
optimizer = torch.optim.Adam(model.parameters(), 0.01, weight_decay=1e-4)
for _ in range(200):
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(digits.train.images), digits.train.labels).backward()
    optimizer.step()
model.eval()
right = (model(digits.test.images).argmax(1) == digits.test.labels).float().mean()
print(f"{right:.1%} of {len(digits.test.labels)} digits that it has not seen are read correctly")

# %% [markdown]
# ## Ten lines
#
# Take a digit that is read correctly. The *margin* is by how much its class leads; the gradient of
# the margin says which pixels hold that lead. Walk against it, in small steps, until another class
# leads.

# %%
image, label = digits.test.images[0:1], int(digits.test.labels[0])
x = image.clone()
while model(x).argmax() == label:
    x.requires_grad_()
    logits = model(x)[0]
    others = torch.cat((logits[:label], logits[label + 1 :]))
    (uphill,) = torch.autograd.grad(logits[label] - others.max(), x)
    x = (x.detach() - 0.02 * uphill / uphill.norm()).clamp(0, 1)
change = x - image
becomes = int(model(x).argmax())
print(f"the {label} is now read as {becomes}; the change has length {change.norm():.3f}")

# %% [markdown]
# The length ‖r‖₂ is in units of pixels: 1 would be a single pixel that turns from black to white.
# Beside the change, noise of the same length.

# %%
noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
noise = noise / noise.norm() * change.norm()
pictures = {
    f"read as {label}": image,
    "the change (grey: none)": 0.5 + change,
    f"read as {becomes}": x,
    f"as much noise: {int(model(image + noise).argmax())}": image + noise,
}
figure, axes = plt.subplots(1, 4, figsize=(9, 2.6))
for axis, (title, picture) in zip(axes, pictures.items(), strict=True):
    axis.imshow(picture.detach()[0, 0], cmap="gray", vmin=0, vmax=1)
    axis.set_title(title, fontsize=9)
    axis.axis("off")

# %% [markdown]
# **The finding.** The direction of a change counts, not its size. A thousand draws of noise as long
# as the change:

# %%
draws = torch.randn(1000, 64, generator=torch.Generator().manual_seed(1))
draws = draws / draws.norm(dim=1, keepdim=True) * change.norm()
fooled = int((model(image.flatten(1) + draws).argmax(1) != label).sum())
print(f"{fooled} of 1,000 random changes of length {change.norm():.3f} fool the network")
assert fooled < 50

# %% [markdown]
# ## How short can it be?
#
# The ten lines find *an* example. The paper asks for the nearest, D(x, l). One call answers for
# many images at once; every answer is classified again by a plain forward pass, and lies in the box
# of pixels.

# %%
found = it.minimum_distortion(
    model, digits.test.images[:40], digits.test.labels[:40], "untargeted", budget=200
)
print(f"by hand {change.norm():.4f}, by search {found.l2[0]:.4f}")
print(f"{int(found.success.sum())} of 40 digits have such a neighbour")
print(f"its length is {found.l2.median():.3f} in the median")
assert found.success.all()
assert found.l2[0] <= change.norm()

# %% [markdown]
# Every digit has one. The search ends where no small move makes the change shorter;
# `found.local_gap` says how far from that it is, and on linear networks `found.gap` is a proof that
# nothing shorter exists.
#
# ## Exercise
#
# 1. Replace `uphill / uphill.norm()` by `uphill.sign() / 8`: steps of the same length that change
#    every pixel alike. How much longer is the way?
# 2. Aim at one class: walk up `logits[3] - logits[label]`. Which class is nearest, and which
#    farthest?
#
# Next: [the paper's search over c](02_search_over_c.py).
