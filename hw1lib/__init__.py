"""A homework report on fully connected networks, re-runnable.

What is where (a later module imports earlier ones, never the reverse):

checks        checks of arguments that more than one module makes
files         writing whole or not at all, the cache folder
standin       the embedded stand-in: drawn faces in UTKFace's file format
pictures      one file of UTKFace: the labels in its name, the picture in it
data          FaceDataset: a folder or an archive of UTKFace, or the stand-in
features      the table of features: CSV chunks read back, split, rescale, batches
preprocess    Preprocessor: normaliser and PCA in bounded memory, exported as CSV chunks
activations   LeakyReLU, ReLU, Sigmoid, Tanh, Identity, Softmax
losses        L2, NLL, Logistic
initializers  Zero, Random, Xavier, He
schedules     Constant, StepDecay, ExponentialDecay, InverseTimeDecay
network       Network, History
onnx_export   a network as an ONNX file
estimators    NetworkRegressor, NetworkClassifier: Network behind scikit-learn's interface
gradcheck     central differences against backward()
published     every number, table and ranking that the report prints
results       means and intervals over seeds, verdicts, tables beside the published numbers
experiments   the report's experiments as data, and how to run them
reproduce     all that is recorded on real UTKFace, in one go
conv          pad, conv2d, max_pool2d, recover_filter
gradients     question 3: every derivative in closed form
plots         figures of notebooks 1 to 5: each function takes data and returns a figure
plots_conv    figures and tables of notebooks 6 and 7
report        all notebooks as one page
"""

__version__ = "0.1.0"
