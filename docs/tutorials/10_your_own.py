# %% [markdown]
# # Write your own attack, bound and stage
#
# The house has three doors for what you bring: a way to search, a bound of an operation, and a
# question of the audit. Each is one function or one class. This page writes one of each against the
# running library; [contributing](../../CONTRIBUTING.md) has the whole change that makes it part of
# the package.

# %%
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

import intriguing as it

digits = it.load_data("digits")


class Bump(nn.Module):
    def forward(self, x):
        return torch.exp(-(x**2))


torch.manual_seed(0)
model = nn.Sequential(nn.Flatten(), nn.Linear(64, 40), Bump(), nn.Linear(40, 10))
optimizer = torch.optim.Adam(model.parameters(), 0.01, weight_decay=1e-4)
for _ in range(200):
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(digits.train.images), digits.train.labels).backward()
    optimizer.step()
model.eval()
images, labels = digits.test.images[:40], digits.test.labels[:40]
print(f"{int((model(images).argmax(1) == labels).sum())} of 40 read correctly")

# %% [markdown]
# ## An attack
#
# A method is a function. It gets logits of rows of pixels, a goal whose margin is positive where it
# is reached, images, a box, and how many passes it may take. It offers every point it looks at to
# an `Incumbent`, which keeps the shortest and counts. This one goes along the normalised gradient
# and halves the way back:

# %%
from intriguing.distortion.attacks.steps import margin_and_gradient, unit
from intriguing.distortion.incumbent import Incumbent
from intriguing.distortion.problem import Goal


def there_and_halfway_back(logits, goal, images, box, budget, seed):
    best = Incumbent(images)
    points, step = images, 0.2
    for _ in range(budget):
        margin, uphill = margin_and_gradient(logits, goal, points)
        best.offer(points, margin, backward=1)
        back = images + (points - images) / 2
        on = points + step * unit(uphill)
        points = box.clamp(torch.where(margin[:, None] > 0, back, on))
    return best


def rows_of(points):
    return model(points.view(-1, 1, 8, 8))


mine = there_and_halfway_back(
    rows_of, Goal(labels, targeted=False), images.flatten(1), it.Box(0.0, 1.0), 30, 0
)
theirs = it.minimum_distortion(model, images, labels, "untargeted", budget=30)
found = mine.l2.isfinite()
farther = float((mine.l2 / theirs.l2)[found & (theirs.l2 > 0)].median())
print(f"mine finds {int(found.sum())} of 40, {farther:.2f} times as far")
assert found.float().mean() > 0.9
assert farther > 0.99

# %% [markdown]
# With `@attack(budget=30)` and a line in the list of methods every verb takes it, and every test of
# methods runs on it.
#
# ## A bound
#
# `Bump` is not an operation that the library knows. What is not known is never guessed: the
# constant is infinite, and the report says what to do.

# %%
before = it.lipschitz_report(model, (1, 8, 8))
print(before.upper)
assert math.isinf(before.upper)

# %% [markdown]
# The slope of exp(−u²) is steepest at u = ±√½, where it is √(2/e). That is one line, rounded up:

# %%
it.register_bound(Bump, 0.857764)
after = it.lipschitz_report(model, (1, 8, 8), data=images)
print(f"at most {after.upper:.2f}, reached {after.lower:.2f}")
certified = it.certify(model, images, labels)
print(f"median certified radius {certified.radius.median():.4f}, found {theirs.l2.median():.4f}")
assert after.lower <= after.upper < math.inf
assert (certified.radius <= theirs.l2 * (1 + 1e-6)).all()

# %% [markdown]
# A bound of your own is believed. Were it too small, a lower bound above it or an example inside a
# certificate would stop the run with `UnsoundBound`: try 0.1.
#
# ## A stage
#
# A stage is a frozen dataclass. Its fields are all that its answer depends on, so the key that it
# is kept under follows from them. It makes typed rows, and says its answer in a sentence. *Is the
# network as sure of images that are darker?*

# %%
from intriguing.data.dataset import ImageSet
from intriguing.estimates import Rows
from intriguing.results.audit import Finding
from intriguing.results.measured import Metric
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network, Stage


@dataclass(frozen=True)
class Darker(Stage):
    name: ClassVar[str] = "darker"
    question: ClassVar[str] = "Does less light fool it?"
    network: Network
    images: ImageSet
    light: float = 0.5

    def compute(self, run):
        pixels, labels = self.light * self.images.images, self.images.labels
        with torch.no_grad():
            wrong = int((self.network.model(pixels).argmax(1) != labels).sum())
        rows = Rows(self.name, network=self.network.name)
        rows.share(Metric.FOOLED, wrong, len(labels), setting=f"light {self.light:g}")
        who, share = self.network.name, f"{self.light:.0%} of the light"
        said = f"{who} misreads {wrong} of {len(labels)} images at {share}"
        return Made(tuple(rows.made), finding=Finding(said), passes=(len(labels), 0))


run = Run(Path(tempfile.mkdtemp()))
for light in (1.0, 0.5, 0.25):
    done = run.keep(Darker(Network("bump", model), digits.test, light))
    print(done.made.finding.words)

# %% [markdown]
# Ask again, and nothing is computed: the answer is read from the folder, under a key of every
# field, every weight and all images.

# %%
again = run.keep(Darker(Network("bump", model), digits.test, 0.25))
assert again.made.rows == done.made.rows
row = again.made.rows[0]
print(row.network, row.setting, row.metric.value, row.count, "of", row.total)

# %% [markdown]
# **The finding.** What you add is small, because the house does the rest: verified answers and
# counted passes, soundness checks, kept results, tables, and words.
#
# ## Exercise
#
# 1. Let the attack's `step` grow with the passes that found nothing. Does it find all 40?
# 2. Give `Darker` a field `noise: float = 0.0` and use it. Why does nobody have to change the key?
#
# [The house on one page](../architecture.md).
