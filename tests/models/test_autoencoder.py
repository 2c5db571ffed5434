import numpy as np
import torch

from intriguing.models.families.autoencoder import AutoencoderClassifier, SparseAutoencoder


def _layer(layer: torch.nn.Linear, inputs: np.ndarray) -> np.ndarray:
    return inputs @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()


def _sigmoid(z: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-z))


def test_the_image_is_rebuilt_from_its_code() -> None:
    model = SparseAutoencoder(12, 5).double()
    images = torch.rand(3, 1, 4, 3, dtype=torch.float64)
    code = _sigmoid(_layer(model.encoder, images.numpy().reshape(3, 12)))
    np.testing.assert_allclose(model.encode(images).detach(), code, rtol=1e-12)
    np.testing.assert_allclose(model(images).detach(), _sigmoid(_layer(model.decoder, code)))


def test_the_classifier_is_a_softmax_layer_on_the_code() -> None:
    model = AutoencoderClassifier(12, 5, 4).double()
    images = torch.rand(3, 1, 4, 3, dtype=torch.float64)
    code = _sigmoid(_layer(model.encoder, images.numpy().reshape(3, 12)))
    np.testing.assert_allclose(model(images).detach(), _layer(model.softmax, code), rtol=1e-12)
