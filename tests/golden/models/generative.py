"""Write generative.safetensors: models that draw, as PyTorch's examples `vae` and `dcgan` have them."""
import torch
from torch.nn import functional

from common import noise, record, save, wave

nn = torch.nn
out = {}


class VAE(nn.Module):
    def __init__(self, features, hidden, latent):
        super().__init__()
        self.fc1 = nn.Linear(features, hidden)
        self.fc21 = nn.Linear(hidden, latent)
        self.fc22 = nn.Linear(hidden, latent)
        self.fc3 = nn.Linear(latent, hidden)
        self.fc4 = nn.Linear(hidden, features)

    def forward(self, x, eps):
        h = torch.relu(self.fc1(x.flatten(1)))
        mu, logvar = self.fc21(h), self.fc22(h)
        z = mu + eps * torch.exp(0.5 * logvar)
        return torch.sigmoid(self.fc4(torch.relu(self.fc3(z)))), mu, logvar


def vae_results(model, x):
    """Reconstruction, mean, logarithm of the variance and loss, in a row; images in [0, 1]."""
    x = (x + 1) * 0.5
    y, mu, logvar = model(x, wave(x.shape[0], 4).to(x.dtype))
    loss = functional.binary_cross_entropy(y, x.flatten(1), reduction="sum") - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return torch.cat([y.flatten(), mu.flatten(), logvar.flatten(), loss.reshape(1)])


def weights_init(m):
    name = m.__class__.__name__
    if name.find("Conv") != -1:
        nn.init.normal_(m.weight, 0.0, 0.02)
    elif name.find("BatchNorm") != -1:
        nn.init.normal_(m.weight, 1.0, 0.02)
        nn.init.zeros_(m.bias)


class Generator(nn.Module):
    def __init__(self, latent, width, channels):
        super().__init__()
        layers = [nn.ConvTranspose2d(latent, 8 * width, 4, 1, 0, bias=False), nn.BatchNorm2d(8 * width), nn.ReLU(True)]
        for times in (4, 2, 1):
            layers += [nn.ConvTranspose2d(2 * times * width, times * width, 4, 2, 1, bias=False), nn.BatchNorm2d(times * width), nn.ReLU(True)]
        self.main = nn.Sequential(*layers, nn.ConvTranspose2d(width, channels, 4, 2, 1, bias=False), nn.Tanh())

    def forward(self, z):
        return self.main(z)


class Discriminator(nn.Module):
    def __init__(self, width, channels):
        super().__init__()
        layers = [nn.Conv2d(channels, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True)]
        for times in (1, 2, 4):
            layers += [nn.Conv2d(times * width, 2 * times * width, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * times * width), nn.LeakyReLU(0.2, inplace=True)]
        self.main = nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, 1, 0, bias=False), nn.Sigmoid())

    def forward(self, x):
        return self.main(x).view(-1, 1).squeeze(1)


def drawn(make, *args):
    torch.manual_seed(0)
    return make(*args).apply(weights_init)


record(out, "vae", drawn(VAE, 48, 16, 4), noise(5, 1, 6, 8), run=vae_results, exact=True)
record(out, "generator", drawn(Generator, 64, 8, 3), noise(4, 64, 1, 1), evaluate=True, exact=True)
record(out, "discriminator", drawn(Discriminator, 8, 3), noise(4, 3, 64, 64), evaluate=True, exact=True)

save(out, "generative.safetensors")
