"""Hints for each blank of the exercises: a question, and a formula; the third grade is the line.

Which blank a student is stuck at is found by verdict.py.
"""

from __future__ import annotations

HINTS: dict[str, tuple[tuple[str, str], ...]] = {
    "relu_backward": (
        (
            "Draw max(x, 0). How steep is it to the right of 0, how steep to the left? Which of y "
            "and dy tells you on which side you are?",
            "dx = dy where y > 0, and 0 elsewhere. In a product, True counts as 1, False as 0.",
        ),
    ),
    "sigmoid_backward": (
        (
            "y = 1 / (1 + e^-x). What is 1 - y, over the same denominator?",
            "e^-x / (1 + e^-x) = 1 - y, so the slope is y (1 - y); dx is dy times the slope.",
        ),
    ),
    "linear_backward_input": (
        (
            "dx_bi = sum_o dy_bo W_oi. Over which index does the sum run, and where does it stand "
            "in dy (B, out) and in weight (out, in)?",
            "o is the last index of dy and the first of weight: dx = dy W, with no transpose.",
        ),
    ),
    "linear_backward_weight": (
        (
            "dW_oi = sum_b dy_bo x_bi. A product of matrices sums over the last index of the left "
            "and the first of the right: which of the two must be turned?",
            "b is the first index of both, so dy is transposed: dW = dy^T x.",
        ),
        (
            "The bias of output o is added in every row. How many rows does a change of it touch?",
            "db_o = sum_b dy_bo: a sum over axis 0.",
        ),
    ),
    "tanh_backward": (
        (
            "(cosh^2 - sinh^2) / cosh^2: divide each term by cosh^2. What is sinh / cosh?",
            "1 - (sinh / cosh)^2 = 1 - y^2; dx is dy times it.",
        ),
    ),
    "bernoulli_nll": (
        (
            "e^800 is infinite in any float. Which of e^l and e^-l is harmless for l > 0? Take l "
            "out of log(1 + e^l) there.",
            "softplus(l) = max(l, 0) + log(1 + e^-|l|); np.log1p(a) is log(1 + a).",
        ),
        (
            "The value is scale times a sum of softplus(l) - x l. What is its slope in l?",
            "d/dl = sigmoid(l) - x, and like the value it carries the scale.",
        ),
    ),
    "importance_bound": (
        (
            "w = p(x|z) p(z) / q(z|x). What becomes of a product, what of a quotient, under log?",
            "log w = log p(x|z) + log p(z) - log q(z|x).",
        ),
        (
            "With e^top taken out of every weight, what is left inside the mean, and what must be "
            "added outside the logarithm? Over which axis are the draws?",
            "log mean_k w_k = top + log mean_k e^(log w_k - top), the mean over axis 0.",
        ),
    ),
    "gaussian_kl": (
        (
            "What is the slope of mu^2 / 2? Which two factors do the gradients carry besides?",
            "dmu = beta scale mu.",
        ),
        (
            "What is the slope of (e^v - v) / 2 in v? Where is it zero, and should it be?",
            "dlogvar = beta scale (e^logvar - 1) / 2.",
        ),
    ),
    "reparameterize_backward": (
        (
            "z = mu + noise. When mu grows by 1, by how much does z?",
            "dz/dmu = 1: dmu grows by dz.",
        ),
        (
            "noise = eps e^(v/2). What is its derivative in v, written with noise itself?",
            "d noise / dv = noise / 2: dlogvar grows by dz noise / 2.",
        ),
    ),
    "adam": (
        (
            "m keeps beta1 of what it was. How much of the new gradient makes a mean of it?",
            "m <- beta1 m + (1 - beta1) g.",
        ),
        (
            "v is a mean as m is, but of what?",
            "v <- beta2 v + (1 - beta2) g^2.",
        ),
        (
            "After one step from 0, m is (1 - beta1) g. By what must it be divided to be g? And "
            "after t steps?",
            "mhat = m / (1 - beta1^step).",
        ),
        (
            "v starts at 0 too: which number plays here the part of beta1?",
            "vhat = v / (1 - beta2^step).",
        ),
        (
            "The step goes against the gradient, and is as large as lr for a gradient that never "
            "changes. What divides mhat to make it so? Where does eps stand?",
            "theta <- theta - lr mhat / (sqrt(vhat) + eps).",
        ),
    ),
    "decoder_backward": (
        ("This is exercise 4. What is dy here, and what is x?", "dW = dlogits^T h."),
        ("This is exercise 4 too: what does the bias sum over?", "db = sum_b dlogits_b, axis 0."),
        ("This is exercise 3: which gradient, times which weight?", "dh = dlogits W."),
        ("This is exercise 1: where does the slope stand, in h or in dh?", "da = dh where h > 0."),
        ("As for Linear 2: what is dy now, and what came in?", "dW = da^T z."),
        ("As for Linear 2.", "db = sum_b da_b, axis 0."),
        ("Which gradient arrives at Linear 0: dh, or what ReLU made of it?", "dz = da W."),
    ),
    "encoder_backward": (
        (
            "mu reaches the loss through z and through the KL. What does each path bring?",
            "dmu = dz + dkl scale mu.",
        ),
        (
            "Exercise 9 gives the path through z, exercise 8 the one through the KL: add them.",
            "dlogvar = dz noise / 2 + dkl scale (e^logvar - 1) / 2.",
        ),
        (
            "stats (B, 2Z) has mu in its first half. How are two (B, Z) put side by side?",
            "dstats = [dmu, dlogvar], along axis 1.",
        ),
        ("This is exercise 4: what is dy, what is x?", "dW = dstats^T h."),
        ("This is exercise 4: what does the bias sum over?", "db = sum_b dstats_b, axis 0."),
        ("This is exercise 3.", "dh = dstats W."),
    ),
    "step": (
        (
            "The decoder needs a draw from q(z|x). Which layer makes it of mu, logvar and eps?",
            "z = mu + e^(logvar/2) eps: the sampler's forward.",
        ),
        ("What does the decoder make of z?", "logits = decoder(z)."),
        ("What does beta weigh?", "loss = nll + beta kl."),
        (
            "dlogits is the gradient of the decoder's output. Who turns it into that of z?",
            "dz is what the decoder's backward returns.",
        ),
        (
            "dmu and dlogvar hold the KL's own gradients. What is still missing in them?",
            "The sampler's backward adds the path through z: it takes dz, dmu, dlogvar.",
        ),
        (
            "dmu and dlogvar are views of one array, which is the gradient of the encoder's "
            "output. Which?",
            "The encoder's backward takes dstats.",
        ),
    ),
    "hunt_mask": (
        (
            "The gradients of Linear 2 are right, those of Linear 0 are not. What lies between?",
            "ReLU passes a gradient where its own output was positive.",
        ),
    ),
    "hunt_price": (
        (
            "Give twice as many images: which of the gradients grow that are means?",
            "kl is divided by len(h), so what comes back from it carries 1/B.",
        ),
    ),
    "hunt_start": (
        (
            "Which of the numbers are right, and which only for a small gradient wrong? What is "
            "of the size of a small gradient?",
            "eps is added to sqrt(v / (1 - beta2^t)); here the root of the correction was taken "
            "out of the sum, so eps carries it too.",
        ),
    ),
    "hunt_dark": (
        (
            "The cost of a pixel with logit -2000 that is lit is 2000 nats. What is the largest "
            "number that this line can give?",
            "-log p = softplus(l) - x l, with nothing added inside a logarithm.",
        ),
    ),
    "hunt_spread": (
        (
            "logvar is log sigma^2. What is sigma? What is the spread of z for logvar = 2?",
            "noise = e^(logvar/2) eps.",
        ),
        (
            "The derivative of e^(v/2) has a factor that the derivative of e^v has not.",
            "d noise / dlogvar = noise / 2.",
        ),
    ),
    "hunt_order": (
        (
            "What must be in dstats before the encoder's backward reads it?",
            "First the sampler adds the path through z to dmu and dlogvar.",
        ),
        (
            "What is done last in the step, and what does it need?",
            "Then the encoder's backward takes dstats.",
        ),
    ),
    "page_layers": (),
    "page_sampler": (),
    "page_loss": (),
    "page_adam": (),
    "gaussian_nll": (
        (
            "The slope of (x - m)^2 / 2 in m: which sign has it?",
            "dmean = -scale (x - mean) / e^logvar.",
        ),
        (
            "What is the derivative of e^-v? Where is the gradient zero: for which v, given x?",
            "dlogvar = scale (1 - (x - mean)^2 / e^logvar) / 2.",
        ),
    ),
    "importance_gradient": (
        (
            "The weights of one image sum to 1 after the softmax. Which sign has a loss's?",
            "dlog_w = -scale w_k / sum_j w_j.",
        ),
        (
            "Exercise 7 gives the bound. What turns a bound on log p(x) into a loss?",
            "-scale sum over images of top + log(total / K).",
        ),
    ),
    "convolution_backward": (
        (
            "x_b,t+k met w_k. Which gradient comes back along that product, times what?",
            "dx_b,t+k grows by dy_bt w_k.",
        ),
        (
            "w_k was used in every row and at every place. What is done with all of them?",
            "dw_k = sum over b and t of dy_bt x_b,t+k.",
        ),
    ),
    "conditional_backward": (
        (
            "It is a Linear with the input [z, label]. What is exercise 4's answer?",
            "dW = dy^T both.",
        ),
        ("And exercise 3's?", "dboth = dy W."),
        (
            "z is the first part of both. Which columns of dboth are its own?",
            "The first Z columns.",
        ),
    ),
}


def hint(name: str, blank: int, grade: int, answer: str) -> str:
    """Return the hint of a grade: 1 a question, 2 a formula, 3 the line."""
    return (*HINTS[name][blank], answer)[grade - 1]
