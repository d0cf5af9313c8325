"""Each blank of the homework with loops, number by number."""

import math

import numpy as np


def normaliser(X):
    n, d = X.shape
    mean, scale = np.zeros(d), np.ones(d)
    for j in range(d):
        mean[j] = sum(float(x) for x in X[:, j]) / n
        spread = math.sqrt(sum((float(x) - mean[j]) ** 2 for x in X[:, j]) / n)
        if spread > 0:
            scale[j] = spread
    return mean, scale


def pca(X, k):
    X = np.array(X, float)
    for j in range(X.shape[1]):
        X[:, j] -= X[:, j].mean()
    gram = np.zeros((len(X), len(X)))
    for i in range(len(X)):
        for j in range(len(X)):
            gram[i, j] = X[i] @ X[j]
    _, vectors = np.linalg.eigh(gram)
    rows = []
    for i in range(1, k + 1):
        direction = np.zeros(X.shape[1])
        for row, share in zip(X, vectors[:, -i], strict=True):
            direction += share * row
        rows.append(-direction / math.sqrt(direction @ direction))
    return np.array(rows)


def features(X, mean, scale, components):
    found = np.zeros((len(X), len(components)))
    for i, x in enumerate(X):
        for j, component in enumerate(components):
            found[i, j] = sum((x - mean) / scale * component)
    return found


def leaky_relu(z):
    result = np.array(z, float)
    for i in np.ndindex(result.shape):
        if result[i] < 0:
            result[i] /= 100
    return result


def leaky_relu_slope(z):
    result = np.ones(z.shape)
    for i in np.ndindex(z.shape):
        if z[i] < 0:
            result[i] = 0.01
    return result


def forward(X, weights, biases):
    A = X
    for i in range(len(weights)):
        A = A @ weights[i] + biases[i]
        if i < len(weights) - 1:
            A = leaky_relu(A)
    return A


def l2(o, t):
    total = 0.0
    for row, target in zip(o, t, strict=True):
        for a, b in zip(row, target, strict=True):
            total += 0.5 * float(a - b) ** 2
    return total / len(o)


def l2_delta(o, t):
    delta = np.zeros(o.shape)
    for i in np.ndindex(o.shape):
        delta[i] = (o[i] - t[i]) / o.shape[0]
    return delta


def logistic(z, t):
    total = 0.0
    for (x,), (y,) in zip(z.tolist(), t.tolist(), strict=True):
        total += (x if x > 0 else 0) + math.log1p(math.exp(-abs(x))) - y * x
    return total / len(z)


def logistic_delta(z, t):
    delta = np.zeros(z.shape)
    for i, (x, y) in enumerate(zip(z.ravel(), t.ravel(), strict=True)):
        a = 1 / (1 + math.exp(-x)) if x > -500 else 0
        delta[i] = (a - y) / len(z)
    return delta


def softmax(z):
    rows = []
    for row in z:
        e = [math.exp(x - max(row)) for x in row]
        rows.append([x / sum(e) for x in e])
    return np.array(rows)


def cross_entropy(z, t):
    total = 0.0
    for row, target in zip(z, t, strict=True):
        top = max(row)
        log_sum = top + math.log(sum(math.exp(x - top) for x in row))
        total += sum(y * (log_sum - x) for x, y in zip(row, target, strict=True))
    return total / len(z)


def softmax_delta(z, t):
    p = softmax(z)
    for i, row in enumerate(t):
        p[i, list(row).index(1)] -= 1
    return p / len(z)


def backward(X, delta, weights, biases):
    A, inputs, Z = X, [], []
    for W, b in zip(weights, biases, strict=True):
        inputs.append(A)
        Z.append(A @ W + b)
        A = leaky_relu(Z[-1])
    to_weights = [np.zeros(W.shape) for W in weights]
    to_biases = [np.zeros(b.shape) for b in biases]
    for layer in range(len(weights) - 1, -1, -1):
        for row, d in zip(inputs[layer], delta, strict=True):
            to_weights[layer] += np.outer(row, d)
            to_biases[layer] += d
        if layer:
            delta = (delta @ weights[layer].T) * leaky_relu_slope(Z[layer - 1])
    return to_weights, to_biases


def momentum_step(w, gradient, velocity, rate, momentum, decay):
    new, moved = np.zeros(w.shape), np.zeros(w.shape)
    for i in np.ndindex(w.shape):
        moved[i] = momentum * velocity[i] - rate * gradient[i] - rate * decay * w[i]
        new[i] = w[i] + moved[i]
    return new, moved


def step_decay(epoch, rate, drop, every):
    for i in range(1, epoch + 1):
        if i % every == 0:
            rate = rate * drop
    return rate


def inverse_decay(epoch, rate, decay):
    below = 1
    for _ in range(epoch):
        below += decay
    return rate / below


def train(X, t, weights, biases, rates, batch_size, momentum, decay, rng):
    weights, biases = list(weights), list(biases)
    of_weights = [np.zeros(W.shape) for W in weights]
    of_biases = [np.zeros(b.shape) for b in biases]
    for rate in rates:
        order = list(rng.permutation(len(X)))
        while order:
            rows, order = order[:batch_size], order[batch_size:]
            delta = l2_delta(forward(X[rows], weights, biases), t[rows])
            dW, db = backward(X[rows], delta, weights, biases)
            for i in range(len(weights)):
                weights[i], of_weights[i] = momentum_step(
                    weights[i], dW[i], of_weights[i], rate, momentum, decay
                )
                biases[i], of_biases[i] = momentum_step(
                    biases[i], db[i], of_biases[i], rate, momentum, 0
                )
    return weights, biases


def output_size(size, filter_size, stride, padding):
    windows, start = 0, 0
    while start + filter_size <= size + 2 * padding:
        windows, start = windows + 1, start + stride
    return windows


def pad(picture, padding):
    padded = np.zeros([n + 2 * padding for n in picture.shape])
    for (i, j), cell in np.ndenumerate(picture):
        padded[i + padding, j + padding] = cell
    return padded


def convolve(picture, kernel, stride, padding):
    padded = pad(picture, padding)
    oh = output_size(picture.shape[0], kernel.shape[0], stride, padding)
    ow = output_size(picture.shape[1], kernel.shape[1], stride, padding)
    output = np.zeros((oh, ow))
    for i, j in np.ndindex(oh, ow):
        for k, l in np.ndindex(kernel.shape):  # noqa: E741
            output[i, j] += padded[i * stride + k, j * stride + l] * kernel[k, l]
    return output


def layer(pictures, kernels, biases, stride, padding):
    return np.array(
        [
            [
                sum(convolve(x[c], f[c], stride, padding) for c in range(len(f))) + bias
                for f, bias in zip(kernels, biases, strict=True)
            ]
            for x in pictures
        ]
    )


def max_pool(picture, size):
    pooled = np.full((picture.shape[0] // size, picture.shape[1] // size), -np.inf)
    for i, j in np.ndindex(pooled.shape):
        for k, l in np.ndindex(size, size):  # noqa: E741
            pooled[i, j] = max(pooled[i, j], picture[i * size + k, j * size + l])
    return pooled


def pool_gradient(to_pooled, picture, size):
    to_picture = np.zeros(picture.shape)
    for i, j in np.ndindex(to_pooled.shape):
        best = None
        for k, l in np.ndindex(size, size):  # noqa: E741
            place = i * size + k, j * size + l
            if best is None or picture[place] > picture[best]:
                best = place
        to_picture[best] = to_pooled[i, j]
    return to_picture


def kernel_gradient(to_output, picture, size, stride, padding):
    padded, found = pad(picture, padding), np.zeros(size)
    for k, l in np.ndindex(*size):  # noqa: E741
        for i, j in np.ndindex(to_output.shape):
            found[k, l] += to_output[i, j] * padded[i * stride + k, j * stride + l]
    return found


def picture_gradient(to_output, kernel, shape, stride, padding):
    found = np.zeros(shape)
    for i, j in np.ndindex(to_output.shape):
        for k, l in np.ndindex(kernel.shape):  # noqa: E741
            row, column = i * stride + k - padding, j * stride + l - padding
            if 0 <= row < shape[0] and 0 <= column < shape[1]:
                found[row, column] += to_output[i, j] * kernel[k, l]
    return found


def recover(picture, output, size, padding):
    columns = []
    for k, l in np.ndindex(*size):  # noqa: E741
        one = np.zeros(size)
        one[k, l] = 1
        columns.append(convolve(picture, one, 1, padding).ravel())
    A = np.array(columns).T
    return np.linalg.solve(A.T @ A, A.T @ output.ravel()).reshape(size)


def sums(x, kernel):
    (a, b), (c, d) = kernel
    return np.array(
        [
            x[0, 0] * a + x[0, 1] * b + x[1, 0] * c + x[1, 1] * d,
            x[0, 2] * a + x[0, 3] * b + x[1, 2] * c + x[1, 3] * d,
            x[2, 0] * a + x[2, 1] * b + x[3, 0] * c + x[3, 1] * d,
            x[2, 2] * a + x[2, 3] * b + x[3, 2] * c + x[3, 3] * d,
        ]
    )


def outputs(c, w, t):
    y = np.array([math.tanh(number) for number in c])
    output = 0.0
    for i in range(4):
        output += w[i] * y[i]
    return y, output, 0.5 * (output - t) * (output - t)


def to_w(y, output, t):
    return np.array([(output - t) * number for number in y])


def to_w11(x, c, w, output, t):
    g = [1 - math.tanh(number) ** 2 for number in c]
    total = w[0] * g[0] * x[0, 0] + w[1] * g[1] * x[0, 2]
    return (output - t) * (total + w[2] * g[2] * x[2, 0] + w[3] * g[3] * x[2, 2])


def to_w12(x, c, w, output, t):
    g = [1 - math.tanh(number) ** 2 for number in c]
    total = w[0] * g[0] * x[0, 1] + w[1] * g[1] * x[0, 3]
    return (output - t) * (total + w[2] * g[2] * x[2, 1] + w[3] * g[3] * x[2, 3])


def to_w21(x, c, w, output, t):
    g = [1 - math.tanh(number) ** 2 for number in c]
    total = w[0] * g[0] * x[1, 0] + w[1] * g[1] * x[1, 2]
    return (output - t) * (total + w[2] * g[2] * x[3, 0] + w[3] * g[3] * x[3, 2])


def to_w22(x, c, w, output, t):
    g = [1 - math.tanh(number) ** 2 for number in c]
    total = w[0] * g[0] * x[1, 1] + w[1] * g[1] * x[1, 3]
    return (output - t) * (total + w[2] * g[2] * x[3, 1] + w[3] * g[3] * x[3, 3])


def gradient(x, kernel, w, t):
    c = sums(x, kernel)
    y, output, _ = outputs(c, w, t)
    of_filter = [d(x, c, w, output, t) for d in (to_w11, to_w12, to_w21, to_w22)]
    return to_w(y, output, t), np.array(of_filter).reshape(2, 2)


def mean_gradient(X, kernel, w, t):
    losses, of_w, of_kernel = [], [], []
    for i in range(len(X)):
        losses.append(outputs(sums(X[i], kernel), w, t[i])[2])
        first, second = gradient(X[i], kernel, w, t[i])
        of_w.append(first)
        of_kernel.append(second)
    return np.mean(losses), np.mean(of_w, axis=0), np.mean(of_kernel, axis=0)


def descend(X, t, kernel, w, rate, steps):
    kernel, w, losses = kernel.copy(), w.copy(), []
    for _ in range(steps):
        loss, to_w, to_kernel = mean_gradient(X, kernel, w, t)
        losses.append(loss)
        for i in range(4):
            w[i] -= rate * to_w[i]
            kernel[i // 2, i % 2] -= rate * to_kernel[i // 2, i % 2]
    return kernel, w, losses
