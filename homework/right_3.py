"""Each blank of the homework in another order, or by another formula."""

import numpy as np


def normaliser(X):
    X = np.asarray(X, float)
    mean = np.mean(X.T, axis=1)
    centred = X - mean
    scale = np.linalg.norm(centred, axis=0) / np.sqrt(len(X))
    return [mean, np.array([s if s else 1.0 for s in scale])]


def pca(X, k):
    _, _, V = np.linalg.svd(X - X.mean(0), full_matrices=False)
    return -V[:k]


def features(X, mean, scale, components):
    return (components @ ((X - mean) / scale).T).T


def leaky_relu(z):
    return z * np.where(z < 0, 0.01, 1)


def leaky_relu_slope(z):
    slope = np.full(z.shape, 0.01)
    slope[z > 0] = 1
    return slope


def forward(X, weights, biases):
    last = len(weights) - 1
    A = X.T
    for i, (W, b) in enumerate(zip(weights, biases, strict=True)):
        A = W.T @ A + b[:, None]
        A = A if i == last else leaky_relu(A)
    return A.T


def l2(o, t):
    return np.mean(np.sum(np.square(t - o), axis=1)) / 2


def l2_delta(o, t):
    n = float(len(t))
    return o / n - t / n


def logistic(z, t):
    signed = np.where(t > 0.5, z, -z)
    loss = np.maximum(-signed, 0) + np.log1p(np.exp(-np.abs(signed)))
    return float(np.mean(loss + np.where(t > 0.5, (1 - t) * z, -t * z)))


def logistic_delta(z, t):
    with np.errstate(over="ignore"):
        a = 1 / (1 + np.exp(-z))
    return -(t - a) / len(t)


def softmax(z):
    return 1 / np.exp(z[:, None, :] - z[:, :, None]).sum(axis=2)


def cross_entropy(z, t):
    true = z[np.arange(len(z)), t.argmax(axis=1)]
    return np.log(np.exp(z - z.max(1, keepdims=True)).sum(1)).mean() + (z.max(1) - true).mean()


def softmax_delta(z, t):
    return softmax(z) / len(z) - t / len(z)


def backward(X, delta, weights, biases):
    """Carry it back by recursion: a network without its first layer is a network."""
    W, b = weights[0], biases[0]
    if len(weights) == 1:
        return [X.T @ delta], [np.ones(len(X)) @ delta]
    Z = X @ W + b
    to_weights, to_biases = backward(leaky_relu(Z), delta, weights[1:], biases[1:])
    back = delta
    for i in range(len(weights) - 1, 0, -1):
        back = back @ weights[i].T
        before = X
        for V, c in zip(weights[: i - 1], biases[: i - 1], strict=True):
            before = leaky_relu(before @ V + c)
        back = back * leaky_relu_slope(before @ weights[i - 1] + biases[i - 1])
    return [X.T @ back, *to_weights], [np.ones(len(X)) @ back, *to_biases]


def momentum_step(w, gradient, velocity, rate, momentum, decay):
    step = rate * gradient - momentum * velocity + rate * decay * w
    return (w - step, -step)


def step_decay(epoch, rate, drop, every):
    times, _ = divmod(epoch, every)
    return rate * np.exp(times * np.log(drop))


def inverse_decay(epoch, rate, decay):
    return 1 / (1 / rate + decay * epoch / rate)


def train(X, t, weights, biases, rates, batch_size, momentum, decay, rng):
    pairs = [
        (W, np.zeros_like(W), b, np.zeros_like(b)) for W, b in zip(weights, biases, strict=True)
    ]
    for epoch in range(len(rates)):
        order = rng.permutation(len(X))
        Xs, ts = X[order], t[order]
        for i in range(-(-len(X) // batch_size)):
            x, y = (part[i * batch_size : (i + 1) * batch_size] for part in (Xs, ts))
            W, b = [pair[0] for pair in pairs], [pair[2] for pair in pairs]
            dW, db = backward(x, l2_delta(forward(x, W, b), y), W, b)
            pairs = [
                (
                    *momentum_step(w, g, v, rates[epoch], momentum, decay),
                    *momentum_step(c, h, u, rates[epoch], momentum, 0.0),
                )
                for (w, v, c, u), g, h in zip(pairs, dW, db, strict=True)
            ]
    return [pair[0] for pair in pairs], [pair[2] for pair in pairs]


def output_size(size, filter_size, stride, padding):
    return len(range(0, size + 2 * padding - filter_size + 1, stride))


def pad(picture, padding):
    left, right = (np.eye(n + 2 * padding, n, -padding) for n in picture.shape)
    return left @ picture @ right.T


def convolve(picture, kernel, stride, padding):
    """Add up the shifted pictures, one for each number of the filter."""
    padded = pad(picture, padding)
    (kh, kw), (height, width) = kernel.shape, padded.shape
    total = 0
    for k in range(kh):
        for m in range(kw):
            shifted = padded[k : height - kh + 1 + k, m : width - kw + 1 + m]
            total = total + kernel[k, m] * shifted[::stride, ::stride]
    return total


def layer(pictures, kernels, biases, stride, padding):
    found = []
    for f, bias in zip(kernels, biases, strict=True):
        of_filter = []
        for x in pictures:
            planes = [convolve(a, b, stride, padding) for a, b in zip(x, f, strict=True)]
            of_filter.append(np.sum(planes, axis=0) + bias)
        found.append(of_filter)
    return np.swapaxes(np.array(found), 0, 1)


def max_pool(picture, size):
    rows, columns = (n // size * size for n in picture.shape)
    cells = [picture[i:rows:size, j:columns:size] for i in range(size) for j in range(size)]
    return np.sort(np.stack(cells), axis=0)[-1]


def pool_gradient(to_pooled, picture, size):
    found, free = np.zeros(picture.shape), np.ones(to_pooled.shape, bool)
    rows, columns = (n * size for n in to_pooled.shape)
    largest = max_pool(picture, size)
    for i in range(size):
        for j in range(size):
            here = free & (picture[i:rows:size, j:columns:size] == largest)
            found[i:rows:size, j:columns:size] = np.where(here, to_pooled, 0)
            free &= ~here
    return found


def kernel_gradient(to_output, picture, size, stride, padding):
    """Convolve with the derivatives, spread by the stride."""
    spread = np.zeros([(n - 1) * stride + 1 for n in to_output.shape])
    spread[::stride, ::stride] = to_output
    return convolve(picture, spread, 1, padding)[: size[0], : size[1]]


def picture_gradient(to_output, kernel, shape, stride, padding):
    """Turn the convolution's matrix: column by column it is what a single bright cell gives."""
    found = np.zeros(shape)
    for place in np.ndindex(*shape):
        one = np.zeros(shape)
        one[place] = 1
        found[place] = np.vdot(convolve(one, kernel, stride, padding), to_output)
    return found


def recover(picture, output, size, padding):
    """Solve the equations by QR."""
    padded = pad(picture, padding)
    (kh, kw), (oh, ow) = size, output.shape
    columns = [padded[k : k + oh, m : m + ow].ravel() for k in range(kh) for m in range(kw)]
    Q, R = np.linalg.qr(np.stack(columns, axis=1))
    return np.linalg.solve(R, Q.T @ output.ravel()).reshape(size)


def sums(x, kernel):
    products = x * np.tile(kernel, (2, 2))
    return np.add.reduceat(np.add.reduceat(products, [0, 2], axis=0), [0, 2], axis=1).ravel()


def outputs(c, w, t):
    e = np.exp(2 * c)
    y = (e - 1) / (e + 1)
    output = sum(w * y)
    return [y, output, (t - output) ** 2 / 2]


def to_w(y, output, t):
    return -(t - output) * y


def _back(c, w, output, t):
    y = np.tanh(c)
    return (output - t) * w * (1 - y) * (1 + y)


def to_w11(x, c, w, output, t):
    return _back(c, w, output, t) @ [x[0, 0], x[0, 2], x[2, 0], x[2, 2]]


def to_w12(x, c, w, output, t):
    return _back(c, w, output, t) @ [x[0, 1], x[0, 3], x[2, 1], x[2, 3]]


def to_w21(x, c, w, output, t):
    return _back(c, w, output, t) @ [x[1, 0], x[1, 2], x[3, 0], x[3, 2]]


def to_w22(x, c, w, output, t):
    return _back(c, w, output, t) @ [x[1, 1], x[1, 3], x[3, 1], x[3, 3]]


def gradient(x, kernel, w, t):
    c = sums(x, kernel)
    y, output, _ = outputs(c, w, t)
    back = _back(c, w, output, t).reshape(2, 2)
    to_kernel = np.zeros((2, 2))
    for i in range(2):
        for j in range(2):
            to_kernel += back[i, j] * x[2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
    return [y * (output - t), to_kernel]


def mean_gradient(X, kernel, w, t):
    parts = [gradient(x, kernel, w, target) for x, target in zip(X, t, strict=True)]
    loss = np.mean([outputs(sums(x, kernel), w, s)[2] for x, s in zip(X, t, strict=True)])
    return loss, sum(part[0] for part in parts) / len(X), sum(part[1] for part in parts) / len(X)


def descend(X, t, kernel, w, rate, steps):
    if steps == 0:
        return kernel, w, []
    loss, to_w, to_kernel = mean_gradient(X, kernel, w, t)
    kernel, w, losses = descend(X, t, kernel - rate * to_kernel, w - rate * to_w, rate, steps - 1)
    return kernel, w, [loss, *losses]
