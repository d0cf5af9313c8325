"""What people look at: plots, pictures and tables with captions, and the page (``show.report``)."""

from hw1lib.show.display import (
    Markdown,
    captioned,
    drawing,
    figure,
    picture,
    side_by_side,
    steps,
    use_style,
)
from hw1lib.show.lessons import (
    backprop_steps,
    cloud,
    conv_layers,
    decision_regions,
    passes,
    softmax_bars,
    valley,
)
from hw1lib.show.pictures import around_grey, face_sheet
from hw1lib.show.plots import (
    GENDERS,
    RACES,
    forest,
    model_comparison,
    race_names,
    training_curves,
)
from hw1lib.show.printed import as_printed
from hw1lib.show.tables import (
    beside,
    convolution_step,
    padded_cells,
    pooled_cells,
    products,
    table,
)
