"""What people look at: plots, pictures and tables with their captions, and the page (``hw1lib.show.report``)."""

from hw1lib.show.convolutions import conv_layers, filters_and_maps, passes, receptive_field, through_pooling
from hw1lib.show.display import Markdown, captioned, drawing, figure, picture, side_by_side, steps, use_style
from hw1lib.show.lessons import (
    calibration,
    cloud,
    decision_regions,
    descents,
    face_sum,
    fitted_curves,
    fold_dots,
    hidden_units,
    small_network,
    softmax_bars,
    unit_paths,
    weight_sizes,
)
from hw1lib.show.pictures import eigenfaces, face_maps, face_sheet, learned_filter, probabilities, small_pictures
from hw1lib.show.plots import (
    GENDERS,
    RACES,
    activations,
    by_group,
    by_group_and_model,
    confusion,
    forest,
    label_distributions,
    ladder,
    layer_spreads,
    learning_curve,
    learning_rates,
    misfits,
    predicted_against_true,
    race_names,
    scree,
    training_curves,
)
from hw1lib.show.tables import convolution_step, padded_cells, pooled_cells, products, table
