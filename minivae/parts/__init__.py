"""Parts: what a model is composed of; each is a layer, so that the checker takes it as it is.

Every part that there is stands in one of these lists, and what is listed is tested: a new one is
one file with its formulas and their derivations, and one line here.
"""

from minivae.parts.bernoulli import Bernoulli
from minivae.parts.categorical import Categorical
from minivae.parts.continuous_bernoulli import ContinuousBernoulli
from minivae.parts.discretised_logistic import DiscretisedLogistic
from minivae.parts.elbo import Elbo, FreeBits
from minivae.parts.full_posterior import FullPosterior
from minivae.parts.gaussian import FixedGaussian, Gaussian, OptimalGaussian
from minivae.parts.gaussian_each import DecodedGaussian, FeatureGaussian
from minivae.parts.gaussian_posterior import GaussianPosterior
from minivae.parts.importance import DoublyReparameterized, Iwae, StickingTheLanding
from minivae.parts.mixture import Mixture, VampPrior
from minivae.parts.negative_binomial import NegativeBinomial
from minivae.parts.planar_posterior import PlanarPosterior
from minivae.parts.poisson import Poisson
from minivae.parts.standard_normal import StandardNormal
from minivae.parts.student import Student
from minivae.parts.table import Table

LIKELIHOODS = (
    *(Bernoulli, ContinuousBernoulli, DiscretisedLogistic, Poisson, NegativeBinomial),
    *(Gaussian, FixedGaussian, FeatureGaussian, DecodedGaussian, OptimalGaussian, Student),
    *(Categorical, Table),
)
POSTERIORS = (GaussianPosterior, FullPosterior, PlanarPosterior)
PRIORS = (StandardNormal, Mixture, VampPrior)
BOUNDS = (Elbo, FreeBits, Iwae, StickingTheLanding, DoublyReparameterized)

__all__ = ["BOUNDS", "LIKELIHOODS", "POSTERIORS", "PRIORS"]
