"""Each blank of the homework with whole arrays: einsum, broadcasting, views of windows."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def normaliser(X):
    mean = np.einsum("nd->d", X) / len(X)
    scale = X.std(axis=0)
    return mean, np.where(scale > 0, scale, 1)


def pca(X, k):
    X = X - np.einsum("nd->d", X) / len(X)
    values, vectors = np.linalg.eigh(np.einsum("id,jd->ij", X, X))
    found = np.einsum("nk,nd->kd", vectors[:, ::-1][:, :k], X)
    return found / np.sqrt(values[::-1][:k])[:, None]


def features(X, mean, scale, components):
    return np.einsum("nd,kd->nk", (X - mean[None, :]) / scale[None, :], components)


def leaky_relu(z):
    return np.maximum(z, z / 100)


def leaky_relu_slope(z):
    return (z > 0) + 0.01 * (z <= 0)


def forward(X, weights, biases):
    for W, b in zip(weights[:-1], biases[:-1], strict=True):
        X = leaky_relu(np.einsum("ni,io->no", X, W) + b)
    return np.einsum("ni,io->no", X, weights[-1]) + biases[-1]


def l2(o, t):
    return np.einsum("nk,nk->", o - t, o - t) / (2 * len(o))


def l2_delta(o, t):
    return np.divide(np.subtract(o, t), o.shape[0])


def logistic(z, t):
    return np.mean(np.logaddexp(0, z) - t * z)


def logistic_delta(z, t):
    e = np.exp(-np.abs(z))
    a = np.where(z > 0, 1 / (1 + e), e / (1 + e))
    return (a - t) / z.size


def softmax(z):
    z = z - np.amax(z, axis=-1)[:, None]
    return np.exp(z) / np.einsum("nk->n", np.exp(z))[:, None]


def cross_entropy(z, t):
    return np.mean(np.logaddexp.reduce(z, axis=1) - np.einsum("nk,nk->n", z, t))


def softmax_delta(z, t):
    return (np.exp(z - np.logaddexp.reduce(z, axis=1, keepdims=True)) - t) / len(t)


def backward(X, delta, weights, biases):
    activations = [X]
    for W, b in zip(weights[:-1], biases[:-1], strict=True):
        activations.append(leaky_relu(activations[-1] @ W + b))
    deltas = [delta]
    for A, W in zip(activations[:0:-1], weights[::-1], strict=False):
        deltas.insert(0, np.einsum("no,io->ni", deltas[0], W) * leaky_relu_slope(A))
    pairs = zip(activations, deltas, strict=True)
    return [np.einsum("ni,no->io", A, d) for A, d in pairs], [np.einsum("no->o", d) for d in deltas]


def momentum_step(w, gradient, velocity, rate, momentum, decay):
    w, v = w.copy(), velocity.copy()
    v *= momentum
    v -= rate * gradient
    v -= rate * decay * w
    w += v
    return w, v


def step_decay(epoch, rate, drop, every):
    return rate * np.power(drop, np.floor(epoch / every))


def inverse_decay(epoch, rate, decay):
    return rate * (1 + decay * epoch) ** -1


def train(X, t, weights, biases, rates, batch_size, momentum, decay, rng):
    shapes = [part.shape for part in (*weights, *biases)]
    ends = np.cumsum([np.prod(shape) for shape in shapes])[:-1]
    flat = np.concatenate([part.ravel() for part in (*weights, *biases)])
    decays = np.where(np.arange(len(flat)) < sum(W.size for W in weights), decay, 0)
    velocity = 0 * flat

    def parts():
        found = zip(np.split(flat, ends), shapes, strict=True)
        found = [part.reshape(shape) for part, shape in found]
        return found[: len(weights)], found[len(weights) :]

    for rate in rates:
        order = rng.permutation(len(X))
        for rows in np.split(order, range(batch_size, len(X), batch_size)):
            delta = (forward(X[rows], *parts()) - t[rows]) / len(rows)
            dW, db = backward(X[rows], delta, *parts())
            gradient = np.concatenate([part.ravel() for part in (*dW, *db)])
            velocity = momentum * velocity - rate * (gradient + decays * flat)
            flat = flat + velocity
    return parts()


def output_size(size, filter_size, stride, padding):
    return 1 + int((size + 2 * padding - filter_size) / stride)


def pad(picture, padding):
    height, width = picture.shape
    side = np.zeros((height, padding))
    wide = np.hstack([side, picture, side])
    lid = np.zeros((padding, width + 2 * padding))
    return np.vstack([lid, wide, lid])


def _windows(picture, size, stride, padding):
    return sliding_window_view(pad(picture, padding), size)[::stride, ::stride]


def convolve(picture, kernel, stride, padding):
    windows = _windows(picture, kernel.shape, stride, padding)
    return np.einsum("ijkl,kl->ij", windows, kernel)


def layer(pictures, kernels, biases, stride, padding):
    around = [(0, 0), (0, 0), (padding, padding), (padding, padding)]
    windows = sliding_window_view(np.pad(pictures, around), kernels.shape[2:], (2, 3))
    found = np.einsum("ncijkl,fckl->nfij", windows[:, :, ::stride, ::stride], kernels)
    return found + biases[:, None, None]


def max_pool(picture, size):
    rows, columns = picture.shape[0] // size, picture.shape[1] // size
    squares = picture[: rows * size, : columns * size].reshape(rows, size, columns, size)
    return squares.max(axis=(1, 3))


def pool_gradient(to_pooled, picture, size):
    rows, columns = to_pooled.shape
    squares = sliding_window_view(picture, (size, size))[::size, ::size]
    best = squares.reshape(rows, columns, size**2).argmax(axis=2)
    places = best // size + size * np.arange(rows)[:, None], best % size + size * np.arange(columns)
    found = np.zeros(picture.shape)
    found[places] = to_pooled
    return found


def kernel_gradient(to_output, picture, size, stride, padding):
    return np.einsum("ijkl,ij->kl", _windows(picture, size, stride, padding), to_output)


def picture_gradient(to_output, kernel, shape, stride, padding):
    (kh, kw), (oh, ow) = kernel.shape, to_output.shape
    height, width = shape
    spread = np.zeros((height + 2 * padding + kh - 1, width + 2 * padding + kw - 1))
    spread[kh - 1 :: stride, kw - 1 :: stride][:oh, :ow] = to_output
    windows = sliding_window_view(spread, (kh, kw))
    found = np.einsum("ijkl,kl->ij", windows, kernel[::-1, ::-1])
    return found[padding : padding + height, padding : padding + width]


def recover(picture, output, size, padding):
    windows = _windows(picture, size, 1, padding).reshape(output.size, -1)
    return (np.linalg.pinv(windows) @ output.reshape(-1)).reshape(size)


def sums(x, kernel):
    return np.einsum("ikjl,kl->ij", x.reshape(2, 2, 2, 2), kernel).reshape(-1)


def outputs(c, w, t):
    y = 2 / (1 + np.exp(-2 * c)) - 1
    return y, np.dot(y, w), np.square(np.dot(y, w) - t) / 2


def to_w(y, output, t):
    return np.multiply(y, output) - np.multiply(y, t)


def _to(x, c, w, output, t, row, column):
    return (output - t) * np.einsum("i,i,i->", w, 1 / np.cosh(c) ** 2, x[row::2, column::2].ravel())


def to_w11(x, c, w, output, t):
    return _to(x, c, w, output, t, 0, 0)


def to_w12(x, c, w, output, t):
    return _to(x, c, w, output, t, 0, 1)


def to_w21(x, c, w, output, t):
    return _to(x, c, w, output, t, 1, 0)


def to_w22(x, c, w, output, t):
    return _to(x, c, w, output, t, 1, 1)


def gradient(x, kernel, w, t):
    parts = mean_gradient(x[None], kernel, w, np.array([t]))
    return parts[1], parts[2]


def mean_gradient(X, kernel, w, t):
    P = X.reshape(len(X), 2, 2, 2, 2).transpose(0, 1, 3, 2, 4).reshape(len(X), 4, 4)
    y = np.tanh(P @ kernel.reshape(4))
    error = y @ w - t
    to_c = error[:, None] * w * (1 - y**2)
    to_kernel = np.einsum("nij,ni->j", P, to_c) / len(X)
    return np.mean(error**2) / 2, error @ y / len(X), to_kernel.reshape(2, 2)


def descend(X, t, kernel, w, rate, steps):
    place, losses = np.concatenate([kernel.ravel(), w]), np.zeros(steps)
    for i in range(steps):
        losses[i], to_w, to_kernel = mean_gradient(X, place[:4].reshape(2, 2), place[4:], t)
        place = place - rate * np.concatenate([to_kernel.ravel(), to_w])
    return place[:4].reshape(2, 2), place[4:], list(losses)
