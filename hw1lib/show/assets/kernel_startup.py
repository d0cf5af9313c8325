"""Run by each kernel of ``python -m hw1lib lab``: a cell that is run alone says what is missing."""

from IPython import get_ipython


def _explain(shell, kind, error, trace, tb_offset=None):
    error.add_note("If a cell above makes it: Run > Run All Above Selected Cell, then this again.")
    shell.showtraceback((kind, error, trace), tb_offset=tb_offset)


get_ipython().set_custom_exc((NameError,), _explain)
