"""What the homework asks for, blank by blank: the calls of a check, and the usual mistakes.

Below each ``@blank`` stands another way to the same numbers: SciPy, central differences, or the
network of hw1lib. A check compares with it; and it stands in for a blank that was left.
"""

import os
from functools import reduce
from itertools import pairwise

import numpy as np
from scipy import linalg, ndimage, optimize, signal, special

from hw1lib import nn
from judge import blank, check, example, grade, points, say_stand_ins  # noqa: F401


def slopes(f, at, step=1e-5):
    """Return the derivatives of a number f(at) with respect to each of the numbers ``at``."""
    at = np.asarray(at, float)
    found = np.empty(at.shape)
    for i in np.ndindex(at.shape):
        move = np.zeros(at.shape)
        move[i] = step
        found[i] = (f(at + move) - f(at - move)) / (2 * step)
    return found


# -- question 1: the faces -------------------------------------------------------------------------


def drawn_faces(n=1000):
    """Return n drawn faces, (n, 1875), and their ages, (n,); they are drawn once, then kept."""
    from hw1lib import faces
    from hw1lib.cache import cache_dir, cached
    from hw1lib.faces import standin

    n = min(n, int(os.environ.get("HW1_FACES") or n))
    folder = cache_dir() / "homework"
    ds = faces.open(standin.make(folder / f"faces-{n}", n, progress=False), progress=False)

    def save(X, path):
        with open(path, "wb") as file:
            np.save(file, X)

    def make():
        return faces.block_mean(ds.images(slice(None)), 8).reshape(len(ds), -1)

    X = cached(f"homework/pixels-{n}.npy", make, save, np.load)
    order = np.random.default_rng(0).permutation(len(X))
    return X[order].astype(float), ds.labels["age"].to_numpy(float)[order]


def _pixels(rng, n, d):
    """Return n rows of d numbers, some of which vary far more than others."""
    return 5 + rng.normal(size=(n, d)) @ np.diag(3.0 / (1 + np.arange(d))) @ _rotation(rng, d)


def _rotation(rng, d):
    return linalg.qr(rng.normal(size=(d, d)))[0]


def _with_a_constant(rng):
    X = _pixels(rng, 7, 4)
    X[:, 2] = 3
    X[:, 3] = 1 + 0.01 * rng.normal(size=7)  # it varies little, and yet it does
    return [[X], [_pixels(rng, 5, 9)]]


@blank(
    question=1,
    points=2,
    cases=_with_a_constant,
    mistakes={
        "a pixel that never varies is divided by 0, not by 1": lambda X: (X.mean(0), X.std(0)),
        "the mean is over the pixels of a face, not over the faces": lambda X: (
            X.mean(1),
            X.std(1),
        ),
        "the mean of the squares, without the mean taken off before": lambda X: (
            X.mean(0),
            np.sqrt((X**2).mean(0)),
        ),
        "the squares are divided by n - 1, not by n": lambda X: (
            X.mean(0),
            np.where(X.std(0) > 0, X.std(0, ddof=1), 1),
        ),
        "it is the variance, without the root": lambda X: (
            X.mean(0),
            np.where(X.std(0) > 0, X.var(0), 1),
        ),
    },
)
def normaliser(X):
    """Return the mean and the scale of each pixel."""
    variance = np.diagonal(np.cov(X, rowvar=False, bias=True))
    return np.average(X, axis=0), np.where(variance > 0, variance, 1) ** 0.5


def _turned(V, *given):
    """Return components whose largest entries are positive: the sign does not count."""
    V = np.asarray(V)
    largest = np.take_along_axis(V, np.abs(V).argmax(axis=1)[:, None], axis=1)
    return V * np.sign(largest)


def _axes(X, centred=True):
    """Return singular values and all components."""
    X = X - X.mean(axis=0) if centred else X
    return linalg.svd(X, full_matrices=False)[1:]


def _pca_cases(rng):
    wide = (rng.normal(size=(9, 6)) * 2.0 ** -np.arange(6)) @ rng.normal(size=(6, 3000))
    return [[_pixels(rng, 12, 8), 3], [_pixels(rng, 6, 20), 2], [wide + 1, 4]]


@blank(
    question=1,
    points=3,
    cases=_pca_cases,
    mistakes={
        "the mean was not taken off": lambda X, k: _axes(X, centred=False)[1][:k],
        "these are the components of the smallest variance": lambda X, k: _axes(X)[1][-2::-1][:k],
        "the largest variance must be first": lambda X, k: _axes(X)[1][:k][::-1],
        "the rows are not of length 1": lambda X, k: (_axes(X)[0][:, None] * _axes(X)[1])[:k],
    },
    seen=_turned,
)
def pca(X, k):
    """Return the k directions of largest variance, a row each."""
    return _axes(X)[1][:k]


def _feature_cases(rng):
    sizes = ((5, 8, 3), (4, 6, 6))
    return [
        [rng.normal(2, 3, (n, d)), *rng.uniform(1, 3, (2, d)), _rotation(rng, d)[:k]]
        for n, d, k in sizes
    ]


@blank(
    question=1,
    points=1,
    cases=_feature_cases,
    mistakes={
        "the mean was not taken off": lambda X, mean, scale, V: X / scale @ V.T,
        "the division by the scale is missing": lambda X, mean, scale, V: (X - mean) @ V.T,
        "the faces are not normalised": lambda X, mean, scale, V: X @ V.T,
    },
)
def features(X, mean, scale, components):
    """Return the coordinates of the normalised faces along the components."""
    return linalg.lstsq(components.T, ((X - mean) / scale).T)[0].T


# -- question 1: activation, losses ----------------------------------------------------------------

_leaky = nn.ACTIVATIONS["leaky_relu"]


def _sums(*shapes):
    """Return cases of weighted sums around 0, none of them near a kink."""

    def cases(rng):
        return [[rng.choice([-1, 1], shape) * rng.uniform(0.1, 3, shape)] for shape in shapes]

    return cases


@blank(
    question=1,
    points=1,
    cases=_sums((4, 3), (5,)),
    mistakes={"this is the ReLU, which does not leak": lambda z: np.maximum(z, 0)},
)
def leaky_relu(z):
    """Return z where it is positive, z / 100 elsewhere."""
    return _leaky(z)


@blank(
    question=1,
    points=1,
    cases=_sums((4, 3), (5,)),
    mistakes={
        "this is the activation, not its derivative": lambda z: _leaky(z),
        "this is the derivative of the ReLU": lambda z: np.heaviside(z, 0),
        "the two sides are exchanged": lambda z: slopes(lambda x: _leaky(x).sum(), -z),
    },
)
def leaky_relu_slope(z):
    """Return the derivative of the leaky ReLU, where z is not 0."""
    return slopes(lambda x: _leaky(x).sum(), z)


def _outputs_and_targets(rng):
    return [[rng.normal(size=shape), rng.normal(size=shape)] for shape in ((6, 3), (4, 1))]


@blank(
    question=1,
    points=1,
    cases=_outputs_and_targets,
    mistakes={
        "it is the root of the squares": lambda o, t: linalg.norm(o - t) / len(o),
        "it is the mean over all numbers, without the 1/2": lambda o, t: np.mean((o - t) ** 2),
    },
)
def l2(o, t):
    """Return the mean L2 loss."""
    return linalg.norm(o - t) ** 2 / 2 / len(o)


@blank(question=1, points=1, cases=_outputs_and_targets)
def l2_delta(o, t):
    """Return its derivatives with respect to the outputs."""
    return slopes(lambda x: l2(x, t), o)


def _logits_of_two(rng):
    z, t = rng.normal(size=(6, 1)), rng.integers(0, 2, (6, 1)).astype(float)
    far = np.array([[-1000.0], [1000.0], [800.0], [-800.0], [0.5]])
    return [[z, t], [far, np.array([[0.0], [1.0], [0.0], [1.0], [0.3]])]]


@blank(
    question=1,
    points=2,
    cases=_logits_of_two,
    mistakes={
        "the targets 0 and 1 are exchanged": lambda z, t: logistic(z, 1 - t),
        "only the rows with target 1 count": lambda z, t: -np.mean(t * special.log_expit(z)),
        "the sign of t z is turned": lambda z, t: np.mean(np.logaddexp(0, z) + t * z),
    },
)
def logistic(z, t):
    """Return the mean logistic loss of logits."""
    return -np.mean(t * special.log_expit(z) + (1 - t) * special.log_expit(-z))


@blank(
    question=1,
    points=1,
    cases=_logits_of_two,
    mistakes={
        "a sign in the exponent is turned": lambda z, t: (special.expit(-z) - t) / len(z),
        "the logistic function is missing: it is z - t": lambda z, t: (z - t) / len(z),
        "a factor a (1 - a) too much: it has cancelled": lambda z, t: (
            logistic_delta(z, t) * special.expit(z) * special.expit(-z)
        ),
    },
)
def logistic_delta(z, t):
    """Return its derivatives with respect to the logits."""
    return slopes(lambda x: logistic(x, t), z)


def _logits(rng):
    far = np.array([[1000, 990, -50], [-1000, -1001, -1003], [0, 0.5, 1], [1000, -1000, -1000]])
    return [[rng.normal(size=(5, 4))], [far]]


def _logits_and_classes(rng):
    (near,), (far,) = _logits(rng)
    classes = rng.permutation(len(near)) % near.shape[1], far.argmin(axis=1)  # the least probable
    return [[z, np.eye(z.shape[1])[c]] for z, c in zip((near, far), classes, strict=True)]


@blank(
    question=1,
    points=2,
    cases=_logits,
    mistakes={
        "the sum runs over the rows, not over the classes": lambda z: special.softmax(z, axis=0),
        "the sum runs over all numbers": lambda z: special.softmax(z),
        "it is the logarithm": lambda z: special.log_softmax(z, axis=1),
        "shifted by the largest of each column: each row needs its own": lambda z: (
            np.exp(z - z.max(axis=0)) / np.exp(z - z.max(axis=0)).sum(axis=1, keepdims=True)
        ),
    },
)
def softmax(z):
    """Return the probabilities of the classes, a row a sample."""
    return special.softmax(z, axis=1)


@blank(
    question=1,
    points=2,
    cases=_logits_and_classes,
    mistakes={
        "the sum of the softmax runs over the rows": lambda z, t: (
            -np.sum(t * special.log_softmax(z, axis=0)) / len(z)
        ),
        "all classes count, not the true one alone": lambda z, t: (
            -np.sum(special.log_softmax(z, axis=1)) / len(z)
        ),
        "the logarithm is missing": lambda z, t: -np.sum(t * softmax(z)) / len(z),
        "the softmax is 0 before the logarithm: take the logits": lambda z, t: (
            -np.sum(t * np.log(softmax(z) + 1e-12)) / len(z)
        ),
    },
)
def cross_entropy(z, t):
    """Return the mean negative log likelihood; t is one-hot."""
    return -np.sum(special.log_softmax(z, axis=1), where=t > 0) / len(z)


@blank(
    question=1,
    points=1,
    cases=_logits_and_classes,
    mistakes={
        "p - 1 everywhere, as the report prints it: the 1 is the true class's alone": lambda z, t: (
            (softmax(z) - 1) / len(z)
        ),
        "the targets are missing": lambda z, t: softmax(z) / len(z),
        "p - 1 for the true class is right, and p for the others: they are missing": lambda z, t: (
            t * (softmax(z) - 1) / len(z)
        ),
        "the softmax is missing": lambda z, t: (z - t) / len(z),
    },
)
def softmax_delta(z, t):
    """Return its derivatives with respect to the logits."""
    return slopes(lambda x: cross_entropy(x, t), z)


# -- question 1: the network -----------------------------------------------------------------------


def _network(weights, biases, activation="leaky_relu", output_activation="identity"):
    """Return hw1lib's network with these parameters."""
    sizes = [weights[0].shape[0], *(W.shape[1] for W in weights)]
    config = {"layers": sizes, "loss": "l2"}
    config |= {"activation": activation, "output_activation": output_activation}
    net = nn.Network(config, nn.Zero(), dtype=np.float64)
    for own, given in zip((*net.weights, *net.biases), (*weights, *biases), strict=True):
        own[...] = given
    return net


def _parts(net, vector):
    """Return one number for each parameter as lists of arrays, the weights' and the biases'."""
    net.parameters[...] = vector
    return [W.copy() for W in net.weights], [b.copy() for b in net.biases]


def _draw(rng, *sizes):
    pairs = list(pairwise(sizes))
    weights = [rng.normal(size=pair) / pair[0] ** 0.5 for pair in pairs]
    return weights, [rng.normal(size=n) for _, n in pairs]


def _network_cases(rng):
    nets = [(6, (4, 5, 3, 2)), (3, (2, 6, 1)), (4, (3, 2)), (3, (2, 3, 3, 3, 2))]
    return [[rng.normal(size=(n, sizes[0])), *_draw(rng, *sizes)] for n, sizes in nets]


@blank(
    question=1,
    points=2,
    cases=_network_cases,
    mistakes={
        "the last layer has no activation here": lambda X, W, b: _network(
            W, b, output_activation="leaky_relu"
        ).outputs(X),
        "the hidden layers' activation is missing": lambda X, W, b: _network(
            W, b, "identity"
        ).outputs(X),
        "the biases are missing": lambda X, W, b: _network(W, [0 * part for part in b]).outputs(X),
        "the last layer's biases are missing": lambda X, W, b: _network(
            W, [*b[:-1], 0 * b[-1]]
        ).outputs(X),
    },
)
def forward(X, weights, biases):
    """Return the outputs of the network."""
    return _network(weights, biases).outputs(X)


class _NoSlope(type(_leaky)):  # type: ignore[misc]
    """A leaky ReLU with a mistake: its derivative is 1."""

    def derivative(self, z, a):
        """Return 1."""
        return np.ones_like(z)


def _backward(X, delta, weights, biases, activation="leaky_relu"):
    """Return what ``backward`` does, fast: of these targets, delta is the L2 loss's own."""
    net = _network(weights, biases, activation)
    net.backward(net.forward(X) - len(X) * delta)
    return _parts(net, net.gradient)


def _backward_cases(rng):
    return [[X, rng.normal(size=(len(X), len(b[-1]))), W, b] for X, W, b in _network_cases(rng)]


@blank(
    question=1,
    points=4,
    cases=_backward_cases,
    mistakes={
        "delta holds the mean's 1 / n already": lambda X, delta, W, b: _backward(
            X, delta / len(X), W, b
        ),
        "the slope of the leaky ReLU is missing": lambda *given: _backward(*given, _NoSlope()),
        "the lists run from the last layer to the first": lambda *given: [
            part[::-1] for part in _backward(*given)
        ],
        "the bias's derivative is a mean over the rows, not their sum": lambda X, delta, W, b: (
            _backward(X, delta, W, b)[0],
            _backward(X, delta / len(X), W, b)[1],
        ),
    },
    stand_in=_backward,
)
def backward(X, delta, weights, biases):
    """Return the derivatives with respect to all weights and biases, by moving each."""
    net = _network(weights, biases)
    start = net.parameters.copy()

    def change(move):  # to first order, of the loss
        net.parameters[...] = start + move
        return np.sum(delta * net.outputs(X))

    return _parts(net, slopes(change, np.zeros_like(start)))


def _step_cases(rng):
    return [
        [*rng.normal(size=(3, 4, 2)), 0.1, 0.9, 0.3],
        [*rng.normal(size=(3, 5)), 0.5, 0.2, 0.0],
    ]


@blank(
    question=1,
    points=2,
    cases=_step_cases,
    mistakes={
        "the step goes up, not down": lambda w, g, v, rate, m, decay: momentum_step(
            w, g, v, -rate, m, decay
        ),
        "the weight decay is missing": lambda w, g, v, rate, m, decay: momentum_step(
            w, g, v, rate, m, 0
        ),
        "the momentum is missing": lambda w, g, v, rate, m, decay: momentum_step(
            w, g, v, rate, 0, decay
        ),
        "w - v in place of w + v: v has the sign already": lambda w, g, v, rate, m, decay: (
            2 * w - momentum_step(w, g, v, rate, m, decay)[0],
            momentum_step(w, g, v, rate, m, decay)[1],
        ),
        "the two results are exchanged": lambda *given: momentum_step(*given)[::-1],
        "the step uses the old velocity": lambda w, g, v, rate, m, decay: (
            w + v,
            momentum_step(w, g, v, rate, m, decay)[1],
        ),
    },
)
def momentum_step(w, gradient, velocity, rate, momentum, decay):
    """Return the new parameters and the new velocity."""
    new = np.tensordot([momentum, -rate, -rate * decay], [velocity, gradient, w], 1)
    return w + new, new


@blank(
    question=1,
    points=1,
    cases=lambda rng: [[epoch, 0.1 + rng.random(), 0.4, 3] for epoch in (5, 0, 2, 3, 6)],
    mistakes={
        "it falls a little every epoch, not at once": lambda epoch, rate, drop, every: (
            rate * drop ** (epoch / every)
        ),
        "it is multiplied by how many drops there were": lambda epoch, rate, drop, every: (
            rate * drop * (epoch // every)
        ),
        "it falls an epoch too early: they count from 0": lambda epoch, rate, drop, every: (
            step_decay(epoch + 1, rate, drop, every)
        ),
    },
)
def step_decay(epoch, rate, drop, every):
    """Return the learning rate of an epoch."""
    return nn.StepDecay(rate, drop, every)(epoch)


@blank(
    question=1,
    points=1,
    cases=lambda rng: [[epoch, 0.1 + rng.random(), 0.25] for epoch in (7, 0, 1)],
    mistakes={
        "epochs count from 0": lambda epoch, rate, decay: inverse_decay(epoch + 1, rate, decay),
        "it falls by the powers of decay": lambda epoch, rate, decay: rate * decay**epoch,
    },
)
def inverse_decay(epoch, rate, decay):
    """Return the learning rate of an epoch."""
    return nn.InverseTimeDecay(rate, decay)(epoch)


def _training_cases(rng):
    def case(n, sizes, rates, size, momentum, decay):
        X = rng.normal(size=(n, sizes[0]))
        t = np.sin(X[:, :1]) + X[:, 1:2] ** 2
        of_epochs = np.random.default_rng(rng.integers(1000))
        return [X, t, *_draw(rng, *sizes), rates, size, momentum, decay, of_epochs]

    return [
        case(20, (3, 4, 1), [0.05, 0.04, 0.02], 8, 0.8, 0.1),
        case(9, (2, 5, 1), [0.02], 3, 0.5, 0.0),
    ]


def _train(X, t, weights, biases, rates, batch_size, momentum, decay, rng):
    net = _network(weights, biases)
    net.rng = rng
    net.fit(
        X,
        t,
        epochs=len(rates),
        batch_size=batch_size,
        learning_rate=lambda epoch: rates[epoch],
        momentum=momentum,
        weight_decay=decay,
        progress=False,
    )
    return _parts(net, net.parameters.copy())


@blank(
    question=1,
    points=4,
    cases=_training_cases,
    mistakes={
        "nothing is learned: the parameters are those that it was given": (
            lambda X, t, W, b, *rest: (W, b)
        ),
        "the momentum has no effect": lambda X, t, W, b, rates, size, momentum, decay, rng: _train(
            X, t, W, b, rates, size, 0.0, decay, rng
        ),
        "the weights do not decay": lambda X, t, W, b, rates, size, momentum, decay, rng: _train(
            X, t, W, b, rates, size, momentum, 0.0, rng
        ),
        "all epochs have the first learning rate": (
            lambda X, t, W, b, rates, *rest: _train(X, t, W, b, rates[:1] * len(rates), *rest)
        ),
        "the velocities begin at 0 in each epoch, not once": lambda X, t, W, b, rates, *rest: (
            reduce(lambda Wb, rate: _train(X, t, *Wb, [rate], *rest), rates, (W, b))
        ),
        "one epoch alone is trained": (
            lambda X, t, W, b, rates, *rest: _train(X, t, W, b, rates[:1], *rest)
        ),
    },
)
def train(X, t, weights, biases, rates, batch_size, momentum, decay, rng):
    """Return the weights and biases after one epoch for each of the rates."""
    return _train(X, t, weights, biases, rates, batch_size, momentum, decay, rng)


# -- question 2: convolution -----------------------------------------------------------------------

PICTURE = np.array([[2, 1, 3, 3], [1, 6, 2, 5], [1, 4, 5, 2], [6, 6, 5, 3]])  # Table 3.1
TABLE_3_4 = np.array([[2, 13, 18, 12], [11, 16, 33, 17], [23, 34, 35, 23], [15, 25, 18, 7]])
TABLE_3_5 = np.array([[8, 4, 14, 5], [6, 17, 12, 13], [13, 18, 25, 9], [10, 12, 11, 8]])
TABLE_3_6 = np.array([[10, 24, 17, 16], [22, 23, 41, 17], [28, 42, 35, 28], [14, 31, 32, 19]])
FILTER_1 = np.array([[0, 1, 2], [1, 0, 1], [2, 1, 0]])  # read from Table 3.3


@blank(
    question=2,
    points=1,
    cases=lambda rng: [
        [*given]
        for given in [(10, 2, 3, 0), (9, 3, 1, 2), (7, 3, 2, 1), (9, 2, 3, 0), (5, 5, 4, 2)]
    ],
    seen=lambda n, *given: n if isinstance(n, int | np.integer) or n % 1 else n + 0.25,  # no float
    mistakes={
        "it is a float: int(...), or // of whole numbers": lambda *given: float(
            output_size(*given)
        ),
        "it is no whole number: // divides and rounds down": lambda n, k, s, p: (
            (n + 2 * p - k) / s + 1
        ),
        "the 1 at the end is missing": lambda n, k, s, p: output_size(n, k, s, p) - 1,
        "the padding is on both sides": lambda n, k, s, p: (n + p - k) // s + 1,
        "it is rounded up": lambda n, k, s, p: -(-(n + 2 * p - k) // s) + 1,
    },
)
def output_size(size, filter_size, stride, padding):
    """Return how many windows fit."""
    line = np.ones(size + 2 * padding)
    return len(signal.correlate(line, np.ones(filter_size), "valid")[::stride])


@blank(
    question=2,
    points=1,
    cases=lambda rng: [[rng.normal(size=(3, 4)), 1], [PICTURE, 2], [rng.normal(size=(2, 2)), 0]],
    mistakes={
        "above and on the left alone": lambda picture, p: pad(picture, p)[
            : len(picture) + p, : picture.shape[1] + p
        ],
    },
)
def pad(picture, padding):
    """Return the picture in a frame of zeros."""
    point = np.zeros((2 * padding + 1, 2 * padding + 1))
    point[padding, padding] = 1
    return signal.convolve2d(picture, point)


def _convolve(picture, kernel, stride, padding, turned=False):
    slide = signal.convolve2d if turned else signal.correlate2d
    return slide(pad(picture, padding), kernel, "valid")[::stride, ::stride]


@blank(
    question=2,
    points=3,
    cases=lambda rng: [
        [rng.normal(size=(6, 7)), rng.normal(size=(3, 2)), 2, 1],
        [PICTURE, FILTER_1, 1, 1],
        [rng.normal(size=(5, 4)), rng.normal(size=(2, 3)), 1, 0],
        [rng.normal(size=(7, 8)), rng.normal(size=(2, 2)), 3, 0],
    ],
    mistakes={
        "the filter is turned: the report, as deep learning does, slides it as it is": (
            lambda *given: _convolve(*given, turned=True)
        ),
        "the padding is missing": lambda x, f, stride, padding: _convolve(x, f, stride, 0),
        "the stride is missing": lambda x, f, stride, padding: _convolve(x, f, 1, padding),
        "an array of int cuts off what is behind the point": lambda *given: _convolve(
            *given
        ).astype(int),
    },
)
def convolve(picture, kernel, stride, padding):
    """Return what the filter finds in each window."""
    return _convolve(picture, kernel, stride, padding)


def _layer(pictures, kernels, biases, stride, padding, turned=False):
    planes = [
        sum(
            _convolve(channel, part, stride, padding, turned)
            for channel, part in zip(picture, kernel, strict=True)
        )
        + bias
        for picture in pictures
        for kernel, bias in zip(kernels, biases, strict=True)
    ]
    return np.reshape(planes, (len(pictures), len(kernels), *planes[0].shape))


@blank(
    question=2,
    points=3,
    cases=lambda rng: [
        [rng.normal(size=(2, 3, 6, 5)), rng.normal(size=(4, 3, 3, 2)), rng.normal(size=4), 2, 1],
        [rng.normal(size=(3, 1, 4, 4)), rng.normal(size=(2, 1, 3, 3)), rng.normal(size=2), 1, 0],
        [rng.normal(size=(1, 2, 3, 4)), rng.normal(size=(1, 2, 2, 2)), rng.normal(size=1), 1, 0],
    ],
    mistakes={
        "the filters are turned": lambda *given: _layer(*given, turned=True),
        "the biases are missing": lambda x, f, b, *rest: _layer(x, f, 0 * b, *rest),
        "a bias is added once a channel, not once a filter": lambda x, f, b, *rest: _layer(
            x, f, x.shape[1] * b, *rest
        ),
        "the mean over the channels, not their sum": lambda x, f, b, *rest: _layer(
            x / x.shape[1], f, b, *rest
        ),
    },
)
def layer(pictures, kernels, biases, stride, padding):
    """Return what a layer of several filters makes of several pictures with channels."""
    return _layer(pictures, kernels, biases, stride, padding)


def _pool(picture, size, choose=ndimage.maximum_filter):
    """Return a number for each square that is whole."""
    rows, columns = (n // size for n in picture.shape)
    middle = slice(size // 2, None, size)
    return choose(np.asarray(picture, float), size)[middle, middle][:rows, :columns]


@blank(
    question=2,
    points=2,
    cases=lambda rng: [
        [rng.normal(size=(6, 4)), 2],
        [TABLE_3_4, 2],
        [-1 - rng.random((7, 8)), 3],
    ],
    mistakes={
        "it is the mean of each square": lambda x, size: _pool(x, size, ndimage.uniform_filter),
        "it is the smallest of each square": lambda x, size: _pool(x, size, ndimage.minimum_filter),
        "a square of negative numbers gives 0: where does the search begin?": lambda x, size: (
            np.maximum(_pool(x, size), 0)
        ),
        "the squares overlap: go on by size, not by 1": lambda x, size: (
            np.lib.stride_tricks.sliding_window_view(x, (size, size)).max((2, 3))
        ),
    },
)
def max_pool(picture, size):
    """Return the largest number of each square."""
    return _pool(picture, size)


def _with_ties(rng):
    first = rng.permutation(24).reshape(6, 4) / 10.0
    ties = rng.integers(0, 2, (6, 7)).astype(float)
    return [
        [rng.normal(size=(3, 2)), first, 2],
        [rng.normal(size=(2, 2)), TABLE_3_6, 2],
        [1 + rng.random((2, 2)), ties, 3],
        [1 + rng.random((2, 2)), -np.ones((4, 4)), 2],
    ]


def _pool_gradient(to_pooled, picture, size, prefer=-1):
    """Return it by moving each number; of equal ones the first is made a little larger before."""
    ramp = prefer * 1e-4 * np.arange(picture.size).reshape(picture.shape)
    return slopes(lambda x: np.sum(to_pooled * _pool(x, size)), picture + ramp)


def _all_that_are_largest(to_pooled, picture, size):
    rows, columns = (n * size for n in to_pooled.shape)
    grown = np.zeros(picture.shape)
    grown[:rows, :columns] = np.kron(to_pooled, np.ones((size, size)))
    largest = np.full(picture.shape, np.inf)
    largest[:rows, :columns] = np.kron(_pool(picture, size), np.ones((size, size)))
    return grown * (picture == largest)


@blank(
    question=2,
    points=3,
    cases=_with_ties,
    mistakes={
        "all that are the largest get it: of equal ones only the first does": _all_that_are_largest,
        "of equal ones the last gets it, not the first": lambda g, x, size: _pool_gradient(
            g, x, size, prefer=1
        ),
        "it holds the picture's numbers, not the gradient's": lambda g, x, size: _pool_gradient(
            _pool(x, size), x, size
        ),
    },
)
def pool_gradient(to_pooled, picture, size):
    """Return the derivatives with respect to the picture."""
    return _pool_gradient(to_pooled, picture, size)


def _last_window_alone(to_output, kernel, shape, stride, padding):
    rows, columns = kernel.shape
    framed = np.zeros([n + 2 * padding for n in shape])
    for i, j in np.ndindex(to_output.shape):
        top, left = stride * i, stride * j
        framed[top : top + rows, left : left + columns] = to_output[i, j] * kernel
    return framed[padding : padding + shape[0], padding : padding + shape[1]]


def _gradient_cases(what):
    def cases(rng):
        found = []
        for shape, size, stride, padding in [
            ((5, 6), (3, 2), 1, 1),
            ((7, 6), (3, 3), 2, 1),
            ((8, 5), (2, 2), 3, 0),
            ((4, 3), (3, 3), 1, 2),
        ]:
            picture, kernel = rng.normal(size=shape), rng.normal(size=size)
            to_output = rng.normal(size=_convolve(picture, kernel, stride, padding).shape)
            other = [picture, size] if what == "kernel" else [kernel, shape]
            found.append([to_output, *other, stride, padding])
        return found

    return cases


@blank(
    question=2,
    points=3,
    cases=_gradient_cases("kernel"),
    mistakes={
        "it is turned by half a turn": lambda *given: kernel_gradient(*given)[::-1, ::-1],
        "the stride is missing": lambda g, x, size, stride, padding: slopes(
            lambda f: np.sum(g * _convolve(x, f, 1, padding)[tuple(map(slice, g.shape))]),
            np.zeros(size),
            1,
        ),
    },
)
def kernel_gradient(to_output, picture, size, stride, padding):
    """Return the derivatives with respect to the filter."""
    return slopes(
        lambda f: np.sum(to_output * _convolve(picture, f, stride, padding)), np.zeros(size), 1
    )


@blank(
    question=2,
    points=3,
    cases=_gradient_cases("picture"),
    mistakes={
        "the filter is turned": lambda g, f, *rest: picture_gradient(g, f[::-1, ::-1], *rest),
        "the stride is missing": lambda g, f, shape, stride, padding: slopes(
            lambda x: np.sum(g * _convolve(x, f, 1, padding)[tuple(map(slice, g.shape))]),
            np.zeros(shape),
            1,
        ),
        "the frame of zeros is not cut off": lambda g, f, shape, s, p: picture_gradient(
            g, f, tuple(n + 2 * p for n in shape), s, 0
        ),
        "the frame of zeros is cut off below and on the right alone": lambda g, f, shape, s, p: (
            picture_gradient(g, f, tuple(n + 2 * p for n in shape), s, 0)[: shape[0], : shape[1]]
        ),
        "where windows overlap, the last one alone counts: add them up": lambda *given: (
            _last_window_alone(*given)
        ),
    },
)
def picture_gradient(to_output, kernel, shape, stride, padding):
    """Return the derivatives with respect to the picture."""
    return slopes(
        lambda x: np.sum(to_output * _convolve(x, kernel, stride, padding)), np.zeros(shape), 1
    )


def _hidden_filters(rng):
    x, f = rng.normal(size=(5, 7)), rng.normal(size=(2, 3))
    return [
        [x, _convolve(x, f, 1, 0), (2, 3), 0],
        [PICTURE, TABLE_3_5, (3, 3), 1],
        [PICTURE, TABLE_3_6, (3, 3), 1],
    ]


@blank(
    question=2,
    points=3,
    cases=_hidden_filters,
    mistakes={
        "it is turned by half a turn": lambda *given: recover(*given)[::-1, ::-1],
        "it is filled column by column: rows and columns are exchanged": lambda *given: (
            recover(*given).ravel().reshape(given[2], order="F")
        ),
    },
)
def recover(picture, output, size, padding):
    """Return the filter that made the output of the picture, with stride 1."""

    def misses(f):
        return (_convolve(picture, f.reshape(size), 1, padding) - output).ravel()

    return optimize.least_squares(misses, np.zeros(np.prod(size))).x.reshape(size)


# -- question 3: every derivative by hand ----------------------------------------------------------


def _windows(X, kernel, stride=2):
    """Return c (n, 4) of pictures (n, 4, 4)."""
    found = signal.correlate(X, kernel[None], "valid", "direct")[:, ::stride, ::stride]
    return found[:, :2, :2].reshape(len(X), 4)


def _loss(X, kernel, w, t, g=np.tanh):
    """Return the mean loss of pictures (n, 4, 4)."""
    return np.mean((g(_windows(X, kernel)) @ w - t) ** 2) / 2


@blank(
    question=3,
    points=1,
    cases=lambda rng: [[rng.normal(size=(4, 4)), rng.normal(size=(2, 2))] for _ in range(2)],
    mistakes={
        "the filter is turned": lambda x, f: _windows(x[None], f[::-1, ::-1])[0],
        "the windows overlap: the stride is 2": lambda x, f: _windows(x[None], f, 1)[0],
        "c12 and c21 are exchanged": lambda x, f: sums(x, f)[[0, 2, 1, 3]],
    },
)
def sums(x, kernel):
    """Return c11, c12, c21, c22."""
    return _windows(x[None], kernel)[0]


@blank(
    question=3,
    points=2,
    cases=lambda rng: [[rng.normal(size=4), rng.normal(size=4), rng.normal()] for _ in range(2)],
    mistakes={
        "the activation is missing": lambda c, w, t: (c, *outputs(np.arctanh(c), w, t)[1:]),
        "the loss lacks its square": lambda c, w, t: (
            *outputs(c, w, t)[:2],
            (outputs(c, w, t)[1] - t) / 2,
        ),
        "the loss lacks its 1/2": lambda c, w, t: (
            *outputs(c, w, t)[:2],
            2 * outputs(c, w, t)[2],
        ),
    },
)
def outputs(c, w, t):
    """Return y (4,), the output and the loss."""
    y = np.sin(np.arctan(np.sinh(c)))  # another name of tanh
    return y, np.vdot(y, w), linalg.norm(np.vdot(y, w) - t) ** 2 / 2


@blank(
    question=3,
    points=1,
    cases=lambda rng: [[rng.normal(size=4), rng.normal(), rng.normal()] for _ in range(2)],
    mistakes={
        "output - t is missing": lambda y, output, t: y,
        "y is missing": lambda y, output, t: np.full(4, output - t),
        "the sign of output - t is turned": lambda y, output, t: to_w(y, t, output),
    },
)
def to_w(y, output, t):
    """Return dL/dw1 to dL/dw4."""
    return slopes(lambda move: (output + move @ y - t) ** 2 / 2, np.zeros(4))


def _to(row, column, g=np.tanh, misprint=False):
    """Return the derivative with respect to one number of the filter."""

    def derivative(x, c, w, output, t):
        def loss(h):
            kernel = np.zeros((2, 2))
            kernel[row, column] = h
            move = _windows(x[None], kernel)[0]
            if misprint:  # the third term has the factor of w12
                move[2] = h * x[2, 1]
            return (output + w @ (g(c + move) - g(c)) - t) ** 2 / 2

        return slopes(loss, 0.0)

    return derivative


def _derivative(name, row, column):
    mistakes = {
        "g' is missing": _to(row, column, g=lambda c: c),
        "g' is 1 - y^2 with y = tanh(c), not with c": _to(row, column, g=lambda c: c - c**3 / 3),
        "output - t is missing": lambda x, c, w, output, t: _to(row, column)(
            x, c, w, output, output - 1
        ),
        "the sign of output - t is turned": lambda x, c, w, output, t: _to(row, column)(
            x, c, w, t, output
        ),
        "w1 to w4 are missing": lambda x, c, w, output, t: _to(row, column)(
            x, c, np.ones(4), output, t
        ),
        "the first window alone counts: add what comes back from each": lambda x, c, w, output, t: (
            _to(row, column)(x, c, w * [1, 0, 0, 0], output, t)
        ),
    }
    for i, j in np.ndindex(2, 2):
        if (i, j) != (row, column):
            mistakes[f"these are the x of w{i + 1}{j + 1}"] = _to(i, j)
    if (row, column) == (1, 0):
        misprint = "the third term has the x of w12, as the report's misprint says"
        mistakes[misprint] = _to(row, column, misprint=True)

    def cases(rng):
        return [
            [rng.normal(size=(4, 4)), *rng.normal(size=(2, 4)), *rng.normal(size=2)]
            for _ in range(2)
        ]

    reference = _to(row, column)
    reference.__name__ = name
    return blank(question=3, points=1, cases=cases, mistakes=mistakes)(reference)


to_w11 = _derivative("to_w11", 0, 0)
to_w12 = _derivative("to_w12", 0, 1)
to_w21 = _derivative("to_w21", 1, 0)
to_w22 = _derivative("to_w22", 1, 1)


def _at_once(x, kernel, w, t, slope, transposed=True):
    """Return the filter's derivatives, given g's slope, with P's transpose or (wrong) with P."""
    c = _windows(x[None], kernel)[0]
    to_c = (np.tanh(c) @ w - t) * w * slope(c)
    unit = np.eye(4).reshape(4, 2, 2)
    P = np.column_stack([_windows(x[None], one)[0] for one in unit])
    return ((P.T if transposed else P) @ to_c).reshape(2, 2)


@blank(
    question=3,
    points=3,
    cases=lambda rng: [
        [rng.normal(size=(4, 4)), rng.normal(size=(2, 2)), rng.normal(size=4), rng.normal()]
        for _ in range(2)
    ],
    mistakes={
        "the sign of output - t is turned": lambda *given: [-part for part in gradient(*given)],
        "the filter's is transposed": lambda *given: (gradient(*given)[0], gradient(*given)[1].T),
        "P in place of its transpose": lambda *given: (
            gradient(*given)[0],
            _at_once(*given, lambda c: 1 - np.tanh(c) ** 2, transposed=False),
        ),
        "g' is 1 - y^2 with y = tanh(c), not with c": lambda x, kernel, w, t: (
            gradient(x, kernel, w, t)[0],
            _at_once(x, kernel, w, t, lambda c: 1 - c**2),
        ),
        "g' is missing in the filter's": lambda x, kernel, w, t: (
            gradient(x, kernel, w, t)[0],
            slopes(
                lambda f: (
                    (np.tanh(sums(x, kernel)) @ w - t) * (w @ _windows(x[None], f - kernel)[0])
                ),
                kernel,
            ),
        ),
    },
)
def gradient(x, kernel, w, t):
    """Return all eight derivatives: w's (4,) and the filter's (2, 2)."""
    return (
        slopes(lambda v: _loss(x[None], kernel, v, t), w),
        slopes(lambda f: _loss(x[None], f, w, t), kernel),
    )


def _pictures(rng, n):
    X = rng.normal(size=(n, 4, 4))
    return [X, rng.normal(size=(2, 2)), rng.normal(size=4), rng.normal(size=n)]


@blank(
    question=3,
    points=2,
    cases=lambda rng: [_pictures(rng, 5), _pictures(rng, 1)],
    mistakes={
        "they are the sums over the pictures, not the means": lambda X, *rest: [
            len(X) * part for part in mean_gradient(X, *rest)
        ],
    },
)
def mean_gradient(X, kernel, w, t):
    """Return the mean loss over pictures, and the means of the derivatives."""
    return (
        _loss(X, kernel, w, t),
        slopes(lambda v: _loss(X, kernel, v, t), w),
        slopes(lambda f: _loss(X, f, w, t), kernel),
    )


def _descents(rng):
    (X, kernel, w, t), (Y, f, v, s) = _pictures(rng, 6), _pictures(rng, 3)
    return [[X, t, kernel, w, 0.05, 4], [Y, s, f, v, 0.1, 1]]


@blank(
    question=3,
    points=2,
    cases=_descents,
    mistakes={
        "the step goes up, not down": lambda X, t, f, w, rate, steps: descend(
            X, t, f, w, -rate, steps
        ),
        "nothing is learned": lambda X, t, f, w, *rest: (f, w, descend(X, t, f, w, *rest)[2]),
        "a loss is taken before its step, not after it": lambda X, t, f, w, rate, steps: (
            *descend(X, t, f, w, rate, steps)[:2],
            descend(X, t, f, w, rate, steps + 1)[2][1:],
        ),
        "only one step is made": lambda X, t, f, w, rate, steps: (
            *descend(X, t, f, w, rate, 1)[:2],
            descend(X, t, f, w, rate, steps)[2],
        ),
    },
)
def descend(X, t, kernel, w, rate, steps):
    """Return the filter and w after so many steps, and the loss before each."""
    place, losses = np.append(kernel, w), []
    for _ in range(steps):
        losses.append(_loss(X, place[:4].reshape(2, 2), place[4:], t))
        place = place - rate * slopes(lambda p: _loss(X, p[:4].reshape(2, 2), p[4:], t), place)
    return place[:4].reshape(2, 2), place[4:], losses
