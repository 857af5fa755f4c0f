"""Parts: what a model is composed of; each is a layer, so that the checker takes it as it is.

Every part that there is stands in one of these lists, and what is listed is tested: a new one is
one file with its formulas and their derivations, and one line here.
"""

from minivae.parts.bernoulli import Bernoulli
from minivae.parts.continuous_bernoulli import ContinuousBernoulli
from minivae.parts.elbo import Elbo
from minivae.parts.gaussian import Gaussian
from minivae.parts.gaussian_posterior import GaussianPosterior
from minivae.parts.importance import DoublyReparameterized, Iwae, StickingTheLanding
from minivae.parts.standard_normal import StandardNormal

LIKELIHOODS = (Bernoulli, ContinuousBernoulli, Gaussian)
POSTERIORS = (GaussianPosterior,)
PRIORS = (StandardNormal,)
BOUNDS = (Elbo, Iwae, StickingTheLanding, DoublyReparameterized)

__all__ = ["BOUNDS", "LIKELIHOODS", "POSTERIORS", "PRIORS"]
