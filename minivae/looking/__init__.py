"""Seeing a model, a training step, a latent space: numbers, pictures, pages.

Nothing here changes what it looks at.
"""
