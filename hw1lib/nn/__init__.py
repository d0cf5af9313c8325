"""Networks from scratch, and their parts.

It needs NumPy, SciPy, threadpoolctl and tqdm; ``nn.estimators`` (scikit-learn) is imported by its
own name.
"""

from hw1lib.nn import gradients
from hw1lib.nn.activations import (
    ACTIVATIONS,
    Activation,
    Identity,
    LeakyReLU,
    ReLU,
    Sigmoid,
    Softmax,
    Tanh,
)
from hw1lib.nn.augment import random_flip, random_shift
from hw1lib.nn.conv import (
    conv2d,
    conv2d_backward,
    conv2d_loops,
    max_pool2d,
    max_pool2d_backward,
    pad,
)
from hw1lib.nn.gradcheck import gradcheck
from hw1lib.nn.initializers import INITIALIZERS, He, Initializer, Random, Xavier, Zero
from hw1lib.nn.layers import Apply, BatchNorm, Conv, Dense, Flatten, Layer, MaxPool
from hw1lib.nn.losses import L2, LOSSES, NLL, Logistic, Loss, WeightedSum, one_hot
from hw1lib.nn.network import History, Network, TrainingDiverged
from hw1lib.nn.recover import recover_filter
from hw1lib.nn.schedules import (
    Constant,
    ExponentialDecay,
    InverseTimeDecay,
    LinearDecay,
    Schedule,
    StepDecay,
)
