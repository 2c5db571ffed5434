# %% [markdown]
# # Audit a network that somebody gave you
#
# You have a file, and nobody who trained it. The tool takes ONNX (`onnx:FILE`), torchvision
# (`torchvision:resnet50`), timm (`timm:NAME`), weights of published networks, or a Python function
# of yours. Here you make such a file first, and then forget where it came from.

# %%
import tempfile
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch import nn

import intriguing as it

folder = Path(tempfile.mkdtemp())
digits = it.load_data("digits")
torch.manual_seed(0)
network = nn.Sequential(
    nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 10)
)
optimizer = torch.optim.Adam(network.parameters(), 0.01)
for _ in range(120):
    optimizer.zero_grad()
    nn.functional.cross_entropy(network(digits.train.images), digits.train.labels).backward()
    optimizer.step()
network.eval()
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of torch's older exporter, which needs no further package
    torch.onnx.export(
        network, (digits.test.images[:1],), folder / "digits.onnx", dynamo=False,
        input_names=["pixels"], output_names=["logits"], dynamic_axes={"pixels": {0: "n"}},
    )  # fmt: skip
print((folder / "digits.onnx").stat().st_size, "bytes")

# %% [markdown]
# ## Look before you spend hours
#
# The file is read as a stranger's: nothing in it is executed (needs `pip install
# 'intriguing[onnx]'`). Two questions come before any search: is it right as often as it should be,
# which a wrong normalisation or order of classes would spoil, and can a search trust its gradients?

# %%
model = it.load_model(f"onnx:{folder / 'digits.onnx'}")
accuracy = it.clean_accuracy(model, digits.test)
print(f"{accuracy.correct} of {accuracy.count} read correctly; remarks: {accuracy.findings}")
print("warnings:", it.preflight(model, digits.test.images[:8]))
assert accuracy.accuracy > 0.9

# %% [markdown]
# A distortion is of pixels, so images are always in [0, 1], and what a network wants beyond that
# becomes its first layer. Suppose that this one had been trained on pixels from 0 to 16, as these
# digits are published, and nobody told you:


# %%
class FromSixteen(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x / 16)


stranger = FromSixteen(model).eval()
forgotten = it.clean_accuracy(stranger, digits.test)
print(f"{forgotten.accuracy:.0%} read correctly")

# %%
from intriguing.models.normalized import with_preprocessing

told = with_preprocessing(stranger, it.Preprocessing((8, 8), scale=16, channels="L", mean=(0.0,)))
print(f"{it.clean_accuracy(told, digits.test).accuracy:.0%} with `scale=16` as its first layer")
assert forgotten.accuracy < 0.8 < it.clean_accuracy(told, digits.test).accuracy

# %% [markdown]
# ## The audit
#
# All questions at once, kept stage by stage, with one page to hand on. On the command line it is
#
#     intriguing audit onnx:digits.onnx --data digits --images 16 --out results
#     intriguing audit torchvision:resnet50 --data folder:photographs/ --images 20min
#
# and `--dry-run` says before how long it will take.

# %%
audit = it.run_audit(
    {"the file": model}, digits.test, folder / "results",
    it.AuditConfig(images=8, budget=60, semidefinite=False, skip=("units",)),
)  # fmt: skip
for sentence in audit.sentences:
    print("•", sentence)
for record in audit.records:
    print(f"{record.stage:10} {record.status}")
assert {record.status for record in audit.records} <= {"done", "not run"}
assert audit.page.is_file()

# %% [markdown]
# **The finding.** In a minute the page says how near the nearest examples are and what noise of
# their size does, how far the images are certified, and which layer amplifies; and for each
# sentence whether it was measured, found or proved.
#
# The same distances from Python, for the nearest neighbours of all:

# %%
images, labels = digits.test.images[:40], digits.test.labels[:40]
found = it.minimum_distortion(model, images, labels, "untargeted", budget=60)
nearest = found.l2.argsort()[:6]
figure, axes = plt.subplots(2, 6, figsize=(8, 3))
for column, row in zip(axes.T, nearest.tolist(), strict=True):
    column[0].imshow(images[row, 0], cmap="gray_r")
    column[0].set_title(f"{int(labels[row])}", fontsize=9)
    column[1].imshow(found.adversarial[row, 0], cmap="gray_r")
    column[1].set_title(f"{int(found.targets[row])}, {found.l2[row]:.2f}", fontsize=9)
    for axis in column:
        axis.axis("off")
figure.tight_layout()
assert found.success.all()

# %% [markdown]
# ## Exercise
#
# 1. Audit two networks together: `it.run_audit({"the file": model, "another": other}, …)`. Which
#    examples transfer?
# 2. Take a file of your own. If its accuracy is a surprise, read [normalisation belongs to the
#    network](../models-and-data.md#normalisation-belongs-to-the-network) before you read its
#    distances.
#
# [All stages of an audit](../audit.md). Next: [gate a pull request](09_gate.py).
