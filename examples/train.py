"""Train a VAE on MNIST in the fewest lines, and keep it.

python examples/train.py
"""

import minivae

data = minivae.load_data("mnist")
vae = minivae.VAE(pixels=784, hidden=(256, 128), latent=20)
for record in minivae.train(vae, data, epochs=3):
    print(f"epoch {record.epoch}: test loss {record.test_loss:.2f} nats per image")
minivae.save("vae.npz", vae)
