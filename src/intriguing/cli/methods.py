"""The words of several verbs' help: known without importing what they run."""

from intriguing.distortion.method_names import Method as Method

METHOD = "How the closest adversarial example is searched; see above."
TARGETS = (
    "What each image is to be taken for: random (a random wrong class, as in the paper), runner-up "
    "(the likeliest wrong class), untargeted (any wrong class: how close the nearest adversarial "
    "example is), all (every wrong class by itself, keeping the nearest), or the number of a class."
)
MODEL = (
    "FILE.safetensors of `intriguing train`, ARCHITECTURE:FILE, FILE.py:FUNCTION, "
    "torchvision:NAME, timm:NAME, hf:OWNER/NAME or onnx:FILE."
)
DATA = (
    "mnist, mnist-5k, digits or cifar10; or pictures, a class a subfolder or labelled by a CSV: "
    "folder:PATH, zip:FILE, imagenet:PATH, hf:OWNER/NAME."
)
SIZES = "Shape of one image, such as 3,224,224, where pictures do not tell and the network neither."
