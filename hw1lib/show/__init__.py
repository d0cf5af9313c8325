"""What people look at: plots, pictures and tables with their captions, and the page (``hw1lib.show.report``)."""

from hw1lib.show.display import Markdown, captioned, drawing, figure, picture, side_by_side, steps, use_style
from hw1lib.show.lessons import calibration, decision_regions, softmax_bars
from hw1lib.show.pictures import eigenfaces, face_maps, face_sheet, learned_filter, probabilities, small_pictures
from hw1lib.show.plots import (
    GENDERS,
    RACES,
    activations,
    by_group,
    confusion,
    forest,
    label_distributions,
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
