# %% [markdown]
# # Transfer between your own networks
#
# An example that was made for one network often fools another, which has other layers, or has never
# seen an image that the first one learned from (§4.2, Tables 1 to 4). That is what makes
# adversarial examples more than a defect of one set of weights. Four networks: two alike but for
# the seed, a wider one, and one that learned from other images.

# %%
import matplotlib.pyplot as plt
import torch
from torch import nn

import intriguing as it

digits = it.load_data("digits")
images, labels = digits.train.images, digits.train.labels


def trained(width, seed, part):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 10))
    optimizer = torch.optim.Adam(model.parameters(), 0.01, weight_decay=1e-4)
    for _ in range(200):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images[part]), labels[part]).backward()
        optimizer.step()
    return model.eval()


first_half, second_half = slice(0, 719), slice(719, None)
networks = {
    "A": trained(40, 0, first_half),
    "another seed": trained(40, 1, first_half),
    "another width": trained(100, 0, first_half),
    "other images": trained(40, 0, second_half),
}

# %% [markdown]
# ## Examples for each, shown to all
#
# The question is only fair on images that all of them read correctly, and at one size of change: a
# network whose examples are longer would otherwise look more dangerous. `amplify` makes every
# change as long as you say; `gaussian_noise` is the control.

# %%
test, truth = digits.test.images, digits.test.labels
read = torch.stack([model(test).argmax(1) == truth for model in networks.values()]).all(0)
test, truth = test[read][:100], truth[read][:100]
size = 0.12
rows = {}
for name, model in networks.items():
    found = it.minimum_distortion(model, test, truth, "untargeted", budget=60)
    rows[f"made for {name}"] = [(it.amplify(test, found.adversarial, size), truth)]
generator = torch.Generator().manual_seed(0)
rows["noise"] = [(it.gaussian_noise(test, size, generator), truth)]
errors = it.error_matrix(networks, rows)
for row in rows:
    print(f"{row:24}" + "".join(f"{errors[row, name].rate:8.0%}" for name in networks))

# %%
table = torch.tensor([[errors[row, name].rate for name in networks] for row in rows])
figure, axis = plt.subplots(figsize=(6, 4))
axis.imshow(table, cmap="Reds", vmin=0, vmax=1)
axis.set_xticks(range(4), list(networks), rotation=20)
axis.set_yticks(range(5), list(rows))
for i in range(5):
    for j in range(4):
        axis.text(j, i, f"{table[i, j]:.0%}", ha="center", va="center")
figure.tight_layout()

# %% [markdown]
# **The finding.** What was made for one fools the others far more often than noise of the same size
# does, the network that learned from other images included: blind spots belong to the task and the
# kind of network, and not to one training.

# %%
elsewhere = float((table[:4].sum() - table[:4].diagonal().sum()) / 12)
print(f"examples of others fool with {elsewhere:.0%}, noise with {float(table[4].mean()):.0%}")
assert elsewhere > float(table[4].mean()) + 0.1
assert float(table[:3, 3].mean()) > float(table[4, 3]) + 0.1

# %% [markdown]
# Each entry counts images; `errors[row, name].interval` is Wilson's for such a share. On the
# command line the same is `intriguing transfer a.safetensors b.safetensors --data digits`, which
# also subtracts what a network misreads anyway.
#
# ## Exercise
#
# 1. Vary `size`. At which size does noise fool as often as the examples of others?
# 2. Aim at one class (`targets=(truth + 1) % 10` in place of `"untargeted"`). How often do the
#    others say *that* class?
#
# Next: [units and the blind quiz](04_units.py).
