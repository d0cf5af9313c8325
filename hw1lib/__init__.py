"""A homework report on fully connected networks, re-runnable.

What is where (a later module imports earlier ones, never the reverse):

data          FaceDataset: a folder or an archive of UTKFace, or the stand-in
standin       the embedded stand-in: drawn faces in UTKFace's file format
preprocess    Preprocessor: normaliser and PCA in bounded memory, CSV chunks, split, batches
activations   LeakyReLU, ReLU, Sigmoid, Tanh, Identity, Softmax
losses        L2, NLL, Logistic
initializers  Zero, Random, Xavier, He
schedules     Constant, StepDecay, ExponentialDecay, InverseTimeDecay
network       Network, History
gradcheck     central differences against backward()
experiments   the report's experiments as data, and how to run them
conv          pad, conv2d, max_pool2d, recover_filter
gradients     question 3: every derivative in closed form
published     every number that the report prints
plots         each function takes data and returns a figure
"""

__version__ = "0.1.0"
